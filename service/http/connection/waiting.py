# SPDX-License-Identifier: MIT
"""Connections that wait for their clients."""

import asyncio
from typing import Protocol


class Expiring(Protocol):
    def expire(self, queue: "Waiting") -> None: ...
    def abort(self) -> None: ...


class Waiting:
    """Connections that wait for the same thing, the longest wait first, each for `seconds` at most.

    One timer serves the whole queue, and stays armed while connections come and go: a timer for
    each request would cost more than the rest of the bookkeeping.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Expiring) -> None:
        self._due[connection] = due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._expire_late)

    def discard(self, connection: Expiring) -> None:
        self._due.pop(connection, None)

    def longest(self) -> Expiring | None:
        return next(iter(self._due), None)

    def _expire_late(self) -> None:
        self._timer = None
        while (connection := self.longest()) is not None:
            due = self._due[connection]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._expire_late)
                return
            self.discard(connection)
            connection.expire(self)
