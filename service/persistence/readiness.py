# SPDX-License-Identifier: MIT
"""Readiness: runs the checks of the database for probes, and for the log of outages."""

import asyncio

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.errors import DependencyUnavailable
from service.application.ports import ReadinessReport
from service.persistence.causes import STANDBY_IS_AWAY
from service.persistence.checks import NAMES, OK, check_all
from service.persistence.committing import waits_for_standby
from service.persistence.errors import (
    DATABASE,
    DRIVER_ERRORS,
    POOLER,
    READS,
    WRITES,
    discreet,
    unavailable,
)
from service.persistence.outages import Outages

TIMEOUT_SECONDS = 3.0
WATCH_MIN_SECONDS, WATCH_MAX_SECONDS = 1.0, 30.0
NOT_CHECKED = "not checked"
UNREACHABLE = "cannot be reached"

_NEEDED = (*NAMES, POOLER)
"""Without these, no request can be served. READS and WRITES show how the last ones ended.

WRITES also fails while a COMMIT waits for a standby, because this COMMIT has not ended.
"""


class Readiness:
    def __init__(self, engine: AsyncEngine, outages: Outages | None = None) -> None:
        self._engine = engine
        self._outages = outages or Outages()
        self._has_checked = False
        self._check: asyncio.Task[dict[str, str]] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def was_ready(self) -> bool:
        """As far as is known: by the last check and the transactions since. Asks nothing."""
        return self._has_checked and not self._outages.is_ongoing(_NEEDED)

    async def report(self) -> ReadinessReport:
        """Not being able to write is no reason to send no reads."""
        checks = await self.checks()
        return ReadinessReport(checks, is_ready=all(checks[name] == OK for name in _NEEDED))

    async def checks(self) -> dict[str, str]:
        """Each check by its name, "ok" or the problem.

        Callers share a check that runs already: anyone may call, without a token.
        """
        if self._check is None:
            self._check = asyncio.get_running_loop().create_task(self._run())
        checks = await asyncio.shield(self._check)
        return checks | {part: self._last_attempt(part) for part in (POOLER, READS, WRITES)}

    def start_watch(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._watch_for_outages())

    async def close(self) -> None:
        running = [task for task in (self._watch, self._check) if task]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _watch_for_outages(self) -> None:
        """Checks at the start, and during an outage until it is over, so that the log says both.

        Probes may be rare, and requests may stay away. In between the database is not asked:
        a database that is not used may sleep.
        """
        while True:
            pause = WATCH_MIN_SECONDS
            await self.checks()
            while self._outages.is_ongoing(NAMES) or self._is_standby_away:
                await asyncio.sleep(pause)
                pause = min(2 * pause, WATCH_MAX_SECONDS)
                await self.checks()
            await self._outages.wait_for_one()

    async def _run(self) -> dict[str, str]:
        try:
            checks = await self._check_within_timeout()
        finally:
            self._check = None
        self._note(checks)
        self._has_checked = True
        return checks

    def _note(self, checks: dict[str, str]) -> None:
        for name, result in checks.items():
            if result == OK:
                self._outages.succeeded(name)
            elif result not in (NOT_CHECKED, UNREACHABLE):
                self._outages.failed(name, result)

    async def _check_within_timeout(self) -> dict[str, str]:
        checks = dict.fromkeys(NAMES, NOT_CHECKED)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._check_all_again_after_a_restart(checks)
        except (DependencyUnavailable, *DRIVER_ERRORS) as exc:
            problem = self._problem(exc)
            self._outages.failed(problem.dependency, problem.cause)
            if problem.dependency == DATABASE:
                checks[DATABASE] = UNREACHABLE
        return checks

    def _problem(self, exc: BaseException) -> DependencyUnavailable:
        if isinstance(exc, DependencyUnavailable):
            return exc
        if isinstance(exc, TimeoutError):
            return DependencyUnavailable(
                DATABASE, f"{self._outages.server} does not answer in time"
            )
        return unavailable(exc)

    async def _check_all_again_after_a_restart(self, checks: dict[str, str]) -> None:
        try:
            await self._check_all(checks)
        except DBAPIError as exc:
            if not exc.connection_invalidated:
                raise
            await self._check_all(checks)

    async def _check_all(self, checks: dict[str, str]) -> None:
        async with self._engine.connect() as connection:
            # First, because `check_all` becomes a role that sees no transactions of the login.
            self._note_standby(is_away=await waits_for_standby(connection))
            await check_all(connection, checks)

    def _note_standby(self, *, is_away: bool) -> None:
        if is_away:
            self._outages.failed(WRITES, STANDBY_IS_AWAY)
        elif self._is_standby_away:
            self._outages.succeeded(WRITES)

    @property
    def _is_standby_away(self) -> bool:
        return self._outages.cause(WRITES) == STANDBY_IS_AWAY

    def _last_attempt(self, part: str) -> str:
        cause = self._outages.cause(part)
        return OK if cause is None else discreet(cause)
