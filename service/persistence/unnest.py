"""Many rows as one parameter per column, so that a statement's text never depends on its size."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, TableValuedAlias, bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY


def rows_given_as(name: str, *columns: Column[Any]) -> TableValuedAlias:
    """`unnest(:<name>_<column>, …)` as a table, with `place` for each row's place in it."""
    arrays = [bindparam(f"{name}_{each.name}", type_=ARRAY(each.type)) for each in columns]
    rows = func.unnest(*arrays).table_valued(*columns, with_ordinality="place")
    return rows.render_derived(name=name)


def parameters(table: TableValuedAlias, rows: Collection[Sequence[Any]]) -> dict[str, list[Any]]:
    """The parameters that make `table` hold these rows."""
    names = [f"{table.name}_{each.name}" for each in table.c if each.name != "place"]
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}
