"""What a process holds in the database outlives it by its lease, and it knows when that is over."""

import asyncio
from types import TracebackType
from typing import Self

from service.application.outbox import Leadership
from service.relay.waiting import happens

RENEWALS = 4
"""In the time of one lease."""


class Lease:
    """Renews leadership or a turn while its owner is busy elsewhere.

    A process that was frozen, and that wakes up when another has taken over, finds that the
    lease is not held any more before it does anything else.
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

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Raises what a renewal raised. Never cancels one: that would break the connection."""
        self._over.set()
        await asyncio.wait({self._renewing})
        failure = self._renewing.exception()
        if failure and exc is None:
            raise failure

    async def _renew(self) -> None:
        while not await happens(self._over, within=self._seconds / RENEWALS):
            now = self._clock()
            await self._held.renew()
            self._renewed_at = now
