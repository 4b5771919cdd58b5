"""Many rows as one array parameter per column.

The statement's text does not depend on their number, so it is compiled and planned once.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Select,
    TableValuedAlias,
    bindparam,
    func,
    literal_column,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.sql.selectable import LateralFromClause

PLACE = "place"


def rows_given_as(name: str, *columns: Column[Any]) -> TableValuedAlias:
    """`unnest(:<name>_<column>, …)` as a table; `place` is each row's position, from 1."""
    arrays = [
        bindparam(f"{name}_{each.name}", type_=ARRAY(each.type, dimensions=1)) for each in columns
    ]
    rows = func.unnest(*arrays).table_valued(*columns, with_ordinality=PLACE)
    return rows.render_derived(name=name)


def given_columns(table: TableValuedAlias) -> list[KeyedColumnElement[Any]]:
    return [each for each in table.c if each.name != PLACE]


def parameters(table: TableValuedAlias, rows: Collection[Sequence[Any]]) -> dict[str, list[Any]]:
    """The parameters that make `table` hold these rows."""
    names = [f"{table.name}_{each.name}" for each in given_columns(table)]
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


def one_row(query: Select[Any], name: str) -> LateralFromClause:
    """The row that `query` finds by key for each row to its left.

    The limit keeps the planner from joining all rows of all acting users, which the row-level
    security policies suggest to it.
    """
    return query.limit(literal_column("1")).lateral(name)
