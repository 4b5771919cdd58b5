# SPDX-License-Identifier: MIT
"""Memory, open files, threads and connections of the parts, before the faults and after them."""

from tests.chaos.installation import Installation
from tests.chaos.parts import Usage
from tests.running import a_connection

MEMORY_BYTES = 150 * 2**20
FILES = 40
THREADS = 16
CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND usename LIKE 'training%'
"""
CONNECTIONS_MAX = 2 * 2 * 10 + 2 * 2
"""Two replicas with two workers, whose pools have 10; two relays with two each."""


def usage(installation: Installation) -> dict[str, Usage]:
    return {part.name: part.usage() for part in installation.parts}


async def connections_left_open(installation: Installation) -> list[str]:
    """A sentence if PostgreSQL has more connections of the service than its pools allow."""
    async with a_connection(installation.database.url) as connection:
        count = await connection.fetchval(CONNECTIONS)
    return [f"{count} connections of the service are open"] if count > CONNECTIONS_MAX else []


def grown(installation: Installation, before: dict[str, Usage]) -> list[str]:
    """A sentence for each part that has more than before, and more than a little."""
    found = []
    for name, now in usage(installation).items():
        limits = {"memory": MEMORY_BYTES, "files": FILES, "threads": THREADS}
        for kind, limit in limits.items():
            was, has = getattr(before[name], kind), getattr(now, kind)
            if has > was + limit:
                found.append(f"{name} has {has:,} of {kind}, and had {was:,}")
    return found
