# SPDX-License-Identifier: MIT
"""Shows how far long work has come: a bar on a terminal, and else a line at intervals."""

import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Self, TextIO

from tqdm import tqdm

LINE_SECONDS = 10.0
_MINUTE = 60

tqdm.monitor_interval = 0  # no thread
tqdm.set_lock(threading.RLock())  # the library's own also locks other processes, with a semaphore


class ProgressBar:
    """On standard error, unless another stream is given. Removes the bar at the end."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._is_terminal = self._stream.isatty()
        self._bar: tqdm[NoReturn] | None = None
        self._lines = _Lines("", None, "", clock())

    def begin(self, task: str, total: int | None, unit: str) -> None:
        self.close()
        self._lines = _Lines(task, total, unit, self._clock())
        if self._is_terminal:
            self._bar = tqdm(
                desc=task,
                total=total,
                unit=f" {unit}",
                file=self._stream,
                dynamic_ncols=True,
                leave=False,
            )

    def advance(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done)
        elif line := self._lines.advance(done, self._clock()):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def print(self, text: str) -> None:
        """Prints a line of the result, without damage to the bar."""
        with tqdm.external_write_mode(file=sys.stdout):
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Lines:
    """A line not more often than every LINE_SECONDS; none for work that ends earlier."""

    def __init__(self, task: str, total: int | None, unit: str, now: float) -> None:
        self._task = task
        self._total = total
        self._unit = unit
        self._begun_at = self._printed_at = now
        self._done = 0

    def advance(self, done: int, now: float) -> str | None:
        self._done += done
        if now - self._printed_at < LINE_SECONDS:
            return None
        self._printed_at = now
        rate = self._done / (now - self._begun_at)
        return f"{self._task}: {self._so_far()}, {_per_time(rate)}{self._left(rate)}"

    def _so_far(self) -> str:
        if self._total is None or self._done > self._total:  # a total may be an estimate
            return f"{self._done:,} {self._unit}"
        percent = f"{self._done / self._total:.0%}"
        return f"{self._done:,} of {self._total:,} {self._unit} ({percent})"

    def _left(self, rate: float) -> str:
        if self._total is None or self._done > self._total or not rate:
            return ""
        seconds = (self._total - self._done) / rate
        if seconds < _MINUTE:
            return f", {seconds:.0f} s left"
        return f", {seconds / _MINUTE:.0f} min left"


def _per_time(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 1 else f"{rate * _MINUTE:,.1f}/min"
