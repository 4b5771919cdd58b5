"""Many rows as one parameter per column, so that a statement's text never depends on its size."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Select,
    TableValuedAlias,
    bindparam,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY


def rows_given_as(name: str, *columns: Column[Any]) -> TableValuedAlias:
    """`unnest(:<name>_<column>, …)` as a table, with `place` for each row's place in it."""
    arrays = [bindparam(f"{name}_{each.name}", type_=ARRAY(each.type)) for each in columns]
    rows = func.unnest(*arrays).table_valued(*columns, with_ordinality="place")
    return rows.render_derived(name=name)


def found_one_by_one(rows: TableValuedAlias, row: Select[Any]) -> Select[Any]:
    """What `row` finds for each of the rows: at most one, by its key.

    The limit keeps the planner from joining all the rows of the acting users, to which the
    policies invite it.
    """
    found = row.limit(literal_column("1")).lateral("found")
    return select(found).select_from(rows.join(found, true()))


def parameters(table: TableValuedAlias, rows: Collection[Sequence[Any]]) -> dict[str, list[Any]]:
    """The parameters that make `table` hold these rows."""
    names = [f"{table.name}_{each.name}" for each in table.c if each.name != "place"]
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}
