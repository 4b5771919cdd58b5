"""Many rows as one array parameter per column.

The statement's text does not depend on their number, so it is compiled and planned once.
"""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.sql.selectable import LateralFromClause
from sqlalchemy.types import TypeEngine, UserDefinedType

PLACE = "place"
DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]  # it has no annotations


class AsyncpgArray(UserDefinedType[Sequence[Any]]):
    """An array as the driver takes and gives it; SQLAlchemy's own type copies every item."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        self.item = item

    def get_col_spec(self, **_options: Any) -> str:
        return f"{self.item.compile(DIALECT)}[]"


def rows_given_as(name: str, *columns: sa.Column[Any]) -> sa.TableValuedAlias:
    """`unnest(:<name>_<column>, …)` as a table; `place` is each row's position, from 1."""
    arrays = [
        sa.bindparam(f"{name}_{each.name}", type_=AsyncpgArray(each.type)) for each in columns
    ]
    rows = sa.func.unnest(*arrays).table_valued(*columns, with_ordinality=PLACE)
    return rows.render_derived(name=name)


def given_columns(table: sa.TableValuedAlias) -> list[KeyedColumnElement[Any]]:
    return [each for each in table.c if each.name != PLACE]


def parameters(table: sa.TableValuedAlias, rows: Collection[Sequence[Any]]) -> dict[str, list[Any]]:
    """The parameters that make `table` hold these rows."""
    names = [f"{table.name}_{each.name}" for each in given_columns(table)]
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


def one_row(query: sa.Select[Any], name: str) -> LateralFromClause:
    """The row that `query` finds by key for each row to its left.

    The limit keeps the planner from joining all rows of all acting users, which the row-level
    security policies suggest to it.
    """
    return query.limit(sa.literal_column("1")).lateral(name)
