# SPDX-License-Identifier: MIT
"""Freezes PostgreSQL under load, and measures how soon the service is back."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psutil

from benchmarks import load
from benchmarks.cluster import Cluster
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.fresh import Share
from benchmarks.load import WINDOW_SECONDS, Load, Window
from benchmarks.measure import SETTLE_SECONDS, Bench, count_written, naming, require_written
from benchmarks.parts import Recovery
from benchmarks.plan import BASE
from benchmarks.subjects import started

BEFORE_SECONDS = 5
BASELINE_SECONDS = 3
STOPPED_SECONDS = 7
"""Longer than a command may wait to begin, so that some are refused."""

AFTER_SECONDS = 8
SECONDS = BEFORE_SECONDS + STOPPED_SECONDS + AFTER_SECONDS
OVER_SECONDS = 0.25
ENOUGH = 0.9


def recovery(bench: Bench, round_: int) -> Recovery:
    """Raises CannotMeasure."""
    contender = CONTENDERS[SERVICE]
    with (
        naming("recovery"),
        bench.setting(contender, BASE) as setting,
        started(contender, setting) as server,
        ThreadPoolExecutor(1) as thread,
    ):
        everything = Share(0, bench.fresh.count)
        running = thread.submit(
            load.over_http, server.url, bench.fresh, everything, BASE, SECONDS, script="windows"
        )
        time.sleep(BEFORE_SECONDS)
        stopped = time.monotonic()
        with _standing_still(bench.cluster):
            time.sleep(STOPPED_SECONDS)
            went_on = time.monotonic()
        seen = running.result()
        time.sleep(SETTLE_SECONDS)
        require_written(count_written(setting), seen, setting, BASE.connections)
    return _recovery(round_, seen, stopped, went_on)


@contextmanager
def _standing_still(cluster: Cluster) -> Iterator[None]:
    """SIGSTOP, then SIGCONT: the postmaster first, so that it starts no process meanwhile."""
    processes = [cluster.process]
    processes[0].suspend()
    try:
        processes += processes[0].children(recursive=True)
        for process in processes[1:]:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _recovery(round_: int, seen: Load, stopped: float, went_on: float) -> Recovery:
    before = rate(seen.windows, stopped - BASELINE_SECONDS, stopped)
    answers: Counter[str] = Counter()
    for window in seen.windows:
        answers[str(window.status)] += window.answers
    return Recovery(
        round=round_,
        stopped=went_on - stopped,
        before=before,
        seconds=back_after(seen.windows, went_on, before),
        answers=dict(sorted(answers.items())),
        broken=seen.broken,
        curve=_curve(seen.windows, went_on),
    )


def back_after(windows: Sequence[Window], went_on: float, before: float) -> float | None:
    """Seconds until the end of the first quarter of a second with enough successes."""
    end = max((window.start for window in windows), default=went_on)
    steps = int((end - went_on - OVER_SECONDS) / WINDOW_SECONDS)
    for step in range(steps + 1):
        start = went_on + step * WINDOW_SECONDS
        if rate(windows, start, start + OVER_SECONDS) >= ENOUGH * before:
            return start + OVER_SECONDS - went_on
    return None


def rate(windows: Sequence[Window], start: float, end: float) -> float:
    """Successes per second in the windows that begin in this interval."""
    answers = sum(
        window.answers
        for window in windows
        if start <= window.start < end and window.status < 300  # noqa: PLR2004  2xx
    )
    return answers / (end - start)


def _curve(windows: Sequence[Window], went_on: float) -> list[list[float]]:
    first = -(BEFORE_SECONDS + STOPPED_SECONDS)
    times = [first + step * OVER_SECONDS for step in range(int(SECONDS / OVER_SECONDS))]
    return [
        [time, round(rate(windows, went_on + time, went_on + time + OVER_SECONDS))]
        for time in times
    ]
