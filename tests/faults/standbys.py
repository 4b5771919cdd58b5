# SPDX-License-Identifier: MIT
"""What an operator does to servers with a synchronous standby."""

import asyncio

from tests.faults.failover.world import connected
from tests.faults.postgres import Postgres

END_WAITS = "SELECT {end}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = $1"


async def crash(server: Postgres) -> None:
    await asyncio.to_thread(server.crash)


async def promoted(standby: Postgres) -> Postgres:
    await standby.cluster.execute("SELECT pg_promote()")
    return standby


async def end_waits(server: Postgres, end: str, login: str) -> bool:
    """Ends the COMMITs of the login that wait for a standby. True if there were any.

    `end`: pg_terminate_backend or pg_cancel_backend. Both make the commit visible, and PostgreSQL
    answers with success to one that was cancelled.
    """
    async with connected(server) as database:
        ended = await database.fetch(END_WAITS.format(end=end), login)
        return any(row[end] for row in ended)
