"""A turn outlives its process by no more than its lease, and a process knows when it is over."""

import asyncio
from types import TracebackType
from typing import Self

from service.application.outbox import Turn
from service.relay.waiting import happens

RENEWALS = 4
"""In the time of one lease."""


class Lease:
    """Renews a turn while its owner is busy elsewhere.

    A process that was frozen, and that wakes up when its turn has gone to another, finds that the
    lease is not held any more before it does anything else.
    """

    def __init__(self, turn: Turn, seconds: float) -> None:
        self._turn = turn
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._renewed_at = self._clock()
        self._over = asyncio.Event()

    def is_held(self) -> bool:
        return self._clock() - self._renewed_at < self._seconds

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Raises what a renewal raised. Never cancels one: that would break the connection."""
        self._over.set()
        await asyncio.wait({self._renewing})
        if exc is None:
            self._renewing.result()

    async def _renew(self) -> None:
        while not await happens(self._over, within=self._seconds / RENEWALS):
            now = self._clock()
            await self._turn.renew()
            self._renewed_at = now
