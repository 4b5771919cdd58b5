# SPDX-License-Identifier: MIT
"""Looks at the outbox again and again: how long its first event has waited, and when it went."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic

import asyncpg

from tests.running import a_connection

WATCH_SECONDS = 0.02
FIRST = "SELECT coalesce(min(position), 0) FROM outbox"
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass
class OutboxWatch:
    """`seen`: times, and the first position or 0. Sees nothing while PostgreSQL is away."""

    url: str
    seen: list[tuple[float, int]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self) -> None:
        while True:
            with suppress(*AWAY):
                async with a_connection(self.url) as connection:
                    while True:
                        self.seen.append((monotonic(), await connection.fetchval(FIRST)))
                        await asyncio.sleep(WATCH_SECONDS)
            await asyncio.sleep(WATCH_SECONDS)

    def stood_still(self) -> float:
        """The longest time in which the first row of the outbox was the same."""
        longest, begun = 0.0, 0.0
        for (moment, first), (later, following) in pairwise(self.seen):
            begun = begun or moment
            if first and first == following:
                longest = max(longest, later - begun)
            else:
                begun = later
        return longest

    def moved_after(self, moment: float) -> float:
        """How long after this moment the first row of then was published; 0 if there was none."""
        first = next((position for time, position in reversed(self.seen) if time <= moment), 0)
        later = (time for time, position in self.seen if time > moment and position != first)
        return next(later, moment) - moment if first else 0.0
