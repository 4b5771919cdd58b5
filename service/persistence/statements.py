"""Core statements as the driver takes them: compiled once, run without SQLAlchemy's engine.

Measured: docs/decisions/core-statements-on-the-driver.md.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


class Statement:
    """Parameters are given by name; rows come as the driver makes them.

    `cursor`: of a query, whose rows are fetched from the cursor of this name.
    """

    def __init__(self, element: ClauseElement, *, cursor: str | None = None) -> None:
        compiled: Any = element.compile(dialect=asyncpg_dialect())  # type: ignore[no-untyped-call]  # without annotations there
        declaration = f"DECLARE {cursor} NO SCROLL CURSOR FOR " if cursor else ""
        self.text = f"{declaration}{compiled}"
        self._names: list[str] = compiled.positiontup or []

    async def rows(
        self, connection: Connection, parameters: Mapping[str, Any]
    ) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await connection.fetch(self.text, *self._arguments(parameters))
        return rows

    async def value(self, connection: Connection, parameters: Mapping[str, Any]) -> Any:
        return await connection.fetchval(self.text, *self._arguments(parameters))

    def _arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        return [parameters[name] for name in self._names]
