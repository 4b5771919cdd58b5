# SPDX-License-Identifier: MIT
"""The log of outages: each is said when it begins, when its cause changes, and when it is over."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    TransactionFailed,
)
from service.persistence.errors import DATABASE

QUIET_SECONDS = 1.0
"""An outage is over if no failure follows a success within this time of the last failure.

A server may refuse some of the work and do the rest: without this, the log would have no end.
"""

REPEAT_SECONDS = 60.0
CAUSES_MAX = 10
"""Causes that alternate are said again after this time, and no more of them within it."""

log = structlog.get_logger("service.database")


@dataclass
class _Outage:
    """Times in seconds of the event loop's clock. `said`: when each cause was logged.

    `end`: the end that a success has announced, unless a failure comes before it.
    """

    began_at: float
    failed_at: float
    cause: str
    end: asyncio.TimerHandle | None = None
    said: dict[str, float] = field(default_factory=dict)
    last_said: str | None = None


class Outages:
    """What the database cannot do at the moment: each part that fails, with the cause.

    Everything in a process that uses the database tells one object of successes and failures.
    """

    def __init__(self, server: str = "the server") -> None:
        self.server = server
        self._ongoing: dict[str, _Outage] = {}
        self._suspected: set[str] = set()
        self._begun = asyncio.Event()

    def cause(self, part: str) -> str | None:
        """None if the part works, as far as is known."""
        outage = self._ongoing.get(part)
        return outage.cause if outage else None

    def is_ongoing(self, parts: Collection[str]) -> bool:
        return not self._ongoing.keys().isdisjoint(parts)

    async def wait_for_one(self) -> None:
        """Returns when the next outage begins, or is suspected."""
        self._begun.clear()
        await self._begun.wait()

    def failed(self, part: str, cause: str) -> None:
        now = asyncio.get_running_loop().time()
        if part not in self._ongoing:
            self._ongoing[part] = _Outage(now, now, cause)
            self._begun.set()
        outage = self._ongoing[part]
        outage.failed_at, outage.cause = now, cause
        if outage.end:
            outage.end.cancel()
            outage.end = None
        self._say(part, outage)

    def succeeded(self, part: str) -> None:
        outage = self._ongoing.get(part)
        if outage and not outage.end:
            loop = asyncio.get_running_loop()
            outage.end = loop.call_at(outage.failed_at + QUIET_SECONDS, self._end, part)

    def _say(self, part: str, outage: _Outage) -> None:
        now, cause = outage.failed_at, outage.cause
        outage.said = {each: at for each, at in outage.said.items() if now - at < REPEAT_SECONDS}
        is_new = cause != outage.last_said and cause not in outage.said
        if is_new and len(outage.said) < CAUSES_MAX:
            outage.said[cause] = now
            outage.last_said = cause
            log.error("unavailable", dependency=part, server=self.server, cause=cause)

    def _end(self, part: str) -> None:
        outage = self._ongoing.pop(part)
        lasted = round(asyncio.get_running_loop().time() - outage.began_at, 1)
        log.warning("available again", dependency=part, server=self.server, after_seconds=lasted)

    @contextmanager
    def observing(self, part: str) -> Iterator[None]:
        """Notes how a transaction ends. `part`: what fails if the connection is not to blame."""
        try:
            yield
        except DependencyUnavailable as exc:
            self.failed(exc.dependency, exc.cause)
            raise
        except TransactionFailed as exc:
            self._note(exc, part)
            raise
        self._suspected.discard(part)
        self.succeeded(DATABASE)

    def _note(self, exc: TransactionFailed, part: str) -> None:
        """The loss of one connection means little: it was idle, and the next one is new."""
        if isinstance(exc, Contended):
            return
        outage = self._ongoing.get(part)
        if outage and isinstance(exc, CommitUnknown):
            self.failed(part, outage.cause)  # it may be known by now why COMMIT gets no answer
        elif isinstance(exc, ConnectionLost | CommitUnknown) and part not in self._suspected:
            self._suspected.add(part)
            self._begun.set()
        else:
            self.failed(part, exc.cause)
