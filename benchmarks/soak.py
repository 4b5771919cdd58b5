# SPDX-License-Identifier: MIT
"""Loads the service for a long time, and records its memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.fresh import Share
from benchmarks.measure import Bench, naming
from benchmarks.parts import Soak
from benchmarks.plan import BASE
from benchmarks.subjects import Subject, prepared

SAMPLE_SECONDS = 5.0


def soak(bench: Bench) -> Soak:
    """Raises CannotMeasure."""
    contender = CONTENDERS[SERVICE]
    with (
        naming("memory over time"),
        bench.setting(contender, BASE) as setting,
        prepared(contender, setting) as subject,
        _memory_of(subject) as samples,
    ):
        seen = subject.load(Share(0, bench.fresh.count), bench.plan.soak)
    return Soak(
        interval=SAMPLE_SECONDS,
        requests_per_second=seen.succeeded / seen.seconds,
        errors=seen.errors,
        resident=samples,
    )


@contextmanager
def _memory_of(subject: Subject) -> Iterator[list[float]]:
    samples: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.append(subject.memory().resident)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
