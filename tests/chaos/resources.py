# SPDX-License-Identifier: MIT
"""Memory, open files, threads and connections of the parts, before the faults and after them."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

from tests.chaos.installation import Installation
from tests.chaos.parts import Usage
from tests.running import a_connection

LIMITS = {"memory": 150 * 2**20, "files": 40, "threads": 16}
"""How much more a part, with all its processes, may have at the end."""

CONNECTIONS_LIMIT = 24
"""A pool opens connections when it needs them, and keeps them. The four workers may have 40."""

REST_SECONDS = 30.0
"""A part may need this long to give back what the last faults have cost it."""

CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND usename LIKE 'training%'
"""
MIB = 2**20


@dataclass(frozen=True)
class Resources:
    """Of each part by its name, and the connections that PostgreSQL has of all of them."""

    parts: Mapping[str, Usage]
    connections: int


async def resources(installation: Installation) -> Resources:
    async with a_connection(installation.database.url) as connection:
        count = await connection.fetchval(CONNECTIONS)
    return Resources({part.name: part.usage() for part in installation.parts}, count)


async def at_rest(installation: Installation, before: Resources) -> Resources:
    """The resources as soon as nothing has grown, or after REST_SECONDS."""
    end = monotonic() + REST_SECONDS
    while True:
        now = await resources(installation)
        if monotonic() > end or not list(grown(before, now)):
            return now
        await asyncio.sleep(0.5)


def grown(before: Resources, now: Resources) -> Iterator[str]:
    """A sentence for whatever has grown by more than its limit."""
    for name, usage in now.parts.items():
        for kind, limit in LIMITS.items():
            was, has = getattr(before.parts[name], kind), getattr(usage, kind)
            if has > was + limit:
                yield f"{name} has {has:,} of {kind}, and had {was:,}"
    if now.connections > before.connections + CONNECTIONS_LIMIT:
        yield (
            f"the service has {now.connections} connections to PostgreSQL,"
            f" and had {before.connections}"
        )


def compared(before: Resources, now: Resources) -> Iterator[str]:
    """What each part has and had, for the report."""
    for name, usage in now.parts.items():
        was = before.parts[name]
        yield (
            f"{name}: {usage.memory // MIB} MiB (before: {was.memory // MIB}),"
            f" {usage.files} files ({was.files}), {usage.threads} threads ({was.threads}),"
            f" its process is {usage.age:.0f} s old"
        )
    yield f"connections to PostgreSQL: {now.connections} ({before.connections})"
