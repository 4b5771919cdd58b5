# SPDX-License-Identifier: MIT
"""Probes how long the disk takes to store a page, while a load is under way.

Cloud disks stall now and then, and every commit waits meanwhile. The probe tells such a stall from
a delay of the service.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

INTERVAL_SECONDS = 0.05
PAGE = bytes(8192)
STALL_MS = 50.0
"""A longer write counts as a stall: more than ten times the usual."""


@dataclass(frozen=True)
class Disk:
    """`syncs`: milliseconds of each write with fdatasync."""

    syncs: list[float] = field(default_factory=list)

    @property
    def slowest(self) -> float:
        return max(self.syncs, default=0)

    @property
    def stalled(self) -> float:
        """Seconds."""
        return sum(each for each in self.syncs if each > STALL_MS) / 1000

    @classmethod
    @contextmanager
    def probed(cls, directory: Path) -> Iterator[Self]:
        disk, stop = cls(), threading.Event()
        with tempfile.TemporaryFile(dir=directory) as file:
            thread = threading.Thread(target=disk._probe, args=(file.fileno(), stop))
            thread.start()
            try:
                yield disk
            finally:
                stop.set()
                thread.join()

    def _probe(self, file: int, stop: threading.Event) -> None:
        """Writes the same page each time, so that its place on the disk is there already."""
        while not stop.wait(INTERVAL_SECONDS):
            begun = time.perf_counter()
            os.pwrite(file, PAGE, 0)
            os.fdatasync(file)
            self.syncs.append((time.perf_counter() - begun) * 1000)
