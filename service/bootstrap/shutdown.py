# SPDX-License-Identifier: MIT
"""Graceful shutdown: balancers learn of it before the server stops taking connections."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class GracefulShutdown:
    """Delays SIGTERM by `notice` seconds, in which the service is not ready but still answers.

    Balancers that poll readiness take the replica out in that time, and each answer asks its client
    to connect again. Without the delay the server could close a connection on which a request is
    just arriving, and the client could not know whether that request was executed.
    """

    def __init__(self, notice: float) -> None:
        self._notice = notice
        self.is_announced = False

    @contextmanager
    def intercept_sigterm(self) -> Iterator[None]:
        """Stands before the handler of SIGTERM; a second signal reaches that handler at once."""
        loop = asyncio.get_running_loop()
        stop: Any = signal.getsignal(signal.SIGTERM)

        def announce(number: int, frame: FrameType | None) -> None:
            if self.is_announced:
                stop(number, frame)
                return
            self.is_announced = True
            loop.call_soon_threadsafe(loop.call_later, self._notice, stop, number, frame)

        signal.signal(signal.SIGTERM, announce)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
