"""The end of a process, told to balancers before it comes."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Departure:
    """SIGTERM, obeyed only after `notice` seconds in which the service is no longer ready.

    Whoever asks for readiness turns away in that time. A connection that is closed at once may be
    the one that a request is just coming on, and nobody could say what became of it.
    """

    def __init__(self, notice: float) -> None:
        self._notice = notice
        self.is_announced = False

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Stands before the handler of SIGTERM; a second signal is obeyed at once."""
        loop = asyncio.get_running_loop()
        obey: Any = signal.getsignal(signal.SIGTERM)

        def announce(number: int, frame: FrameType | None) -> None:
            if self.is_announced:
                obey(number, frame)
                return
            self.is_announced = True
            loop.call_soon_threadsafe(loop.call_later, self._notice, obey, number, frame)

        signal.signal(signal.SIGTERM, announce)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, obey)
