# SPDX-License-Identifier: MIT
"""The time for which a relay may rely on a lock without an answer of the database."""

import asyncio
from typing import Self

from service.application.outbox import Leadership
from service.relay.waiting import wait_for

RENEWALS = 4
"""Renewals within one lease."""


class Lease:
    """Renews leadership or a turn while the relay works on something else.

    A process that was frozen checks the lease first when it wakes up, and finds it over if another
    relay may have taken over.
    """

    def __init__(self, held: Leadership, seconds: float) -> None:
        self._held = held
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._renewed_at = self._clock()
        self._over = asyncio.Event()

    def is_held(self) -> bool:
        return self._clock() - self._renewed_at < self._seconds

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        """Raises the error of a renewal. Cancels none: that would break the connection."""
        self._over.set()
        await asyncio.wait({self._renewing})
        failure = self._renewing.exception()
        if failure and exc is None:
            raise failure

    async def _renew(self) -> None:
        while not await wait_for(self._over, within=self._seconds / RENEWALS):
            now = self._clock()
            await self._held.renew()
            self._renewed_at = now
