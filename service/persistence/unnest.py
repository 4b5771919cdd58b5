# SPDX-License-Identifier: MIT
"""Statements about many rows, which are given as one array parameter per column.

The text of such a statement does not depend on their number: it is compiled and planned once.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.sql.selectable import LateralFromClause
from sqlalchemy.types import TypeEngine, UserDefinedType

PLACE = "place"
DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]  # it has no annotations


class CompiledStatement:
    """SQLAlchemy would compile a statement once too, but look it up by its expression at each call.

    Values go to the driver and come from it as they are: no type may need a conversion.
    """

    def __init__(self, statement: sa.ClauseElement) -> None:
        compiled: Any = statement.compile(dialect=DIALECT)
        self.text: str = compiled.string
        self._names: list[str] = compiled.positiontup

    def execute(
        self, connection: sa.Connection, given: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        values = tuple([given[name] for name in self._names])
        return connection.exec_driver_sql(self.text, values).all()


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


def parameters(
    table: sa.TableValuedAlias, rows: Collection[Sequence[Any]]
) -> dict[str, tuple[Any, ...]]:
    """The parameters that make `table` hold these rows, at least one."""
    return dict(zip(_parameter_names(table), zip(*rows, strict=True), strict=True))


@functools.cache
def _parameter_names(table: sa.TableValuedAlias) -> list[str]:
    return [f"{table.name}_{each.name}" for each in given_columns(table)]


def one_row(
    query: sa.Select[Any], column: sa.ColumnElement[Any], value: sa.ColumnElement[Any], name: str
) -> LateralFromClause:
    """The row of `query` whose `column` is `value`, for each row to its left.

    `column` is the last of a key. It is given as a range of one, in the order of the column, so
    that no other index serves: of two that begin with the user, the planner may take the one that
    makes it read all rows of the user. The limit tells the planner that it is one row.
    """
    rows = query.where(column.between(value, value)).order_by(column)
    return rows.limit(sa.literal_column("1")).lateral(name)
