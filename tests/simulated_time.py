# SPDX-License-Identifier: MIT
"""An event loop whose time passes only while all tasks wait: a test of an hour takes no time.

For tests marked `simulated_time`, which use neither sockets nor threads.
"""

import asyncio
import selectors
from typing import Any


class SimulatedTimeLoop(asyncio.SelectorEventLoop):
    """Goes on to the next timer at once, and fails a test whose tasks would wait for ever."""

    def __init__(self) -> None:
        super().__init__(_NoWaiting(self))
        self._simulated_time = 1000.0

    def time(self) -> float:
        return self._simulated_time

    def pass_time(self, seconds: float) -> None:
        """Lets time pass at once, as for a process that was frozen."""
        self._simulated_time += seconds


class _NoWaiting(selectors.SelectSelector):
    def __init__(self, loop: SimulatedTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("all tasks wait, and no timer would wake one of them")
        self._loop.pass_time(timeout)
        return super().select(0)


def pass_time(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedTimeLoop)
    loop.pass_time(seconds)
