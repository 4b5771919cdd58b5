# SPDX-License-Identifier: MIT
"""Looks into the database again and again during a run, while faults happen."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import isfinite
from time import monotonic

import asyncpg

from tests.chaos.faults_of_database import ERRORS
from tests.chaos.history import READS, Attempt, Known, Wrong
from tests.contract import RECORDED
from tests.running import a_connection

PAUSE_SECONDS = 5.0
LOOK_SECONDS = 30.0
AWAY = (*ERRORS, asyncpg.InternalClientError, EOFError)
"""What a fault may do to a look, which is repeated later."""

GAPS = """
    SELECT sessions.id FROM sessions
    LEFT JOIN events ON events.user_id = sessions.user_id AND session_id = sessions.id
    GROUP BY sessions.user_id, sessions.id, sessions.version
    HAVING count(session_version) <> sessions.version
        OR count(DISTINCT session_version) <> sessions.version
        OR max(session_version) <> sessions.version
"""
MISSING = """
    SELECT request_id FROM unnest($1::text[]) AS request_id
    EXCEPT SELECT request_id FROM events
"""


@dataclass
class Watch:
    """Looks for gaps in all histories, and for acknowledged commands that have no event.

    `history`: grows meanwhile. `looks`: how many reached the database. A look during which the
    database is away is repeated; any other error ends the watch, and is a finding.
    """

    url: str
    history: Sequence[Attempt]
    found: list[Wrong] = field(default_factory=list)
    looks: int = 0
    _seen: int = 0
    _waiting: list[Attempt] = field(default_factory=list)

    @asynccontextmanager
    async def during(self) -> AsyncIterator[asyncio.Task[None]]:
        """Watches during the block; at its end says in `found` if it could not."""
        watching = asyncio.create_task(self._watch())
        try:
            yield watching
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            if not watching.cancelled() and (error := watching.exception()):
                self.found.append(Wrong("unwatched", f"the watch has ended: {error!r}"))
            if not self.looks:
                self.found.append(Wrong("unwatched", "no look of the watch reached the database"))

    async def _watch(self) -> None:
        while not self.found:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                async with asyncio.timeout(LOOK_SECONDS), a_connection(self.url) as connection:
                    await self.look(connection)
            except AWAY:
                continue

    async def look(self, connection: asyncpg.Connection) -> None:
        acknowledged = self._acknowledged()
        lost = await connection.fetch(MISSING, list(acknowledged))
        gaps = await connection.fetch(GAPS)
        self._waiting = [each for each in self._waiting if each.request_id not in acknowledged]
        self.looks += 1
        now = f"{monotonic():.3f}"
        for row in lost:
            sentence = f"a command was acknowledged, and had no event at {now}"
            self.found.append(Wrong("lost", sentence, (acknowledged[row["request_id"]],)))
        for row in gaps:
            self.found.append(Wrong("gap", f"session {row['id']} had a gap at {now}"))

    def _acknowledged(self) -> dict[str, Attempt]:
        """Commands that were answered since the last look, and must have an event of their own."""
        self._waiting += self.history[self._seen :]
        self._seen = len(self.history)
        self._waiting = [
            each for each in self._waiting if not isfinite(each.left) or _must_have_an_event(each)
        ]
        return {each.request_id: each for each in self._waiting if isfinite(each.left)}


def _must_have_an_event(attempt: Attempt) -> bool:
    """An update may change nothing, and a replay is of another request."""
    is_first = attempt.known is Known.DONE and not attempt.is_replay
    return is_first and attempt.verb in RECORDED and attempt.verb not in {*READS, "update"}
