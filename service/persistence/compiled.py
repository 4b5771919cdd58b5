"""Statements compiled once.

SQLAlchemy keeps what it compiled, but looks it up by a key of the whole expression, at each call.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg

DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]  # it has no annotations


class CompiledStatement:
    """Its values go to the driver and come from it as they are: no type may need a conversion."""

    def __init__(self, statement: sa.ClauseElement) -> None:
        compiled: Any = statement.compile(dialect=DIALECT)
        self.text: str = compiled.string
        self._names: list[str] = compiled.positiontup

    def execute(
        self, connection: sa.Connection, given: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        values = tuple([given[name] for name in self._names])
        return connection.exec_driver_sql(self.text, values).all()
