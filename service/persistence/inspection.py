# SPDX-License-Identifier: MIT
"""Facts about a database server and about what lies between it and this process."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.persistence.driver import driver_connection

_FACTS = text("""
    SELECT clock_timestamp(), current_setting('server_version'), session_user,
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int,
        current_setting('synchronous_commit'), current_setting('synchronous_standby_names') <> ''
""")
_PROCESS = text("SELECT pg_backend_pid()")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """`clock_ahead`: seconds by which its clock is ahead of this machine's.

    `connections_max`: most connections of all logins. `synchronous_commit`: of this login.
    """

    version: str
    login: str
    clock_ahead: float
    connections_max: int
    synchronous_commit: str
    has_synchronous_standbys: bool


class Pooling(Enum):
    """What answers: the server itself, or a pooler that keeps to a server connection or not."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"


async def read_facts(connection: AsyncConnection, clock: Callable[[], datetime]) -> ServerFacts:
    """The server's time is compared with the middle of the time that the statement took."""
    await connection.execute(_FACTS)  # the first time, it is prepared
    started = time.perf_counter()
    [row] = await connection.execute(_FACTS)
    half = (time.perf_counter() - started) / 2
    server_time, version, login, connections_max, synchronous_commit, has_standbys = row
    return ServerFacts(
        version=version,
        login=login,
        clock_ahead=(server_time - clock()).total_seconds() + half,
        connections_max=connections_max,
        synchronous_commit=synchronous_commit,
        has_synchronous_standbys=has_standbys,
    )


async def find_pooling(engine: AsyncEngine) -> Pooling:
    """A server tells each client the process that serves it, and a pooler a number of its own.

    A pooler in transaction mode lets a second client have the first one's process between its
    transactions. `engine`: one that keeps no prepared statements.
    """
    async with engine.connect() as first, engine.connect() as second:
        process = await first.scalar(_PROCESS)
        await first.commit()
        if await second.scalar(_PROCESS) == process or await first.scalar(_PROCESS) != process:
            return Pooling.TRANSACTION
        return Pooling.NONE if process == _announced(first) else Pooling.SESSION


def _announced(connection: AsyncConnection) -> int:
    assert connection.sync_connection  # noqa: S101  it is open
    announced: int = driver_connection(connection.sync_connection).get_server_pid()
    return announced
