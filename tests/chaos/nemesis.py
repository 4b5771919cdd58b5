# SPDX-License-Identifier: MIT
"""Causes faults at random, several at once, and ends each of them after a while."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from math import inf
from random import Random
from time import monotonic

from tests.chaos.history import Attempt
from tests.chaos.installation import Installation

AT_ONCE = 3
SECONDS = (1.0, 6.0)
PAUSE_SECONDS = (0.0, 3.0)
Cause = Callable[[Installation, Random], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """`parts`: what it breaks; of two faults at once, none breaks the other's part."""

    name: str
    cause: Cause
    parts: frozenset[str]


@dataclass
class Span:
    """When a fault began, and when it was repaired."""

    fault: str
    begun: float
    healed: float = inf

    def meets(self, attempt: Attempt) -> bool:
        """True if the user waited for the answer while the fault lasted."""
        return attempt.begun < self.healed and attempt.left > self.begun

    def __str__(self) -> str:
        return f"{self.fault} [{self.begun:.3f}–{self.healed:.3f}]"


class Nemesis:
    def __init__(self, installation: Installation, faults: Sequence[Fault], random: Random) -> None:
        self._installation = installation
        self._faults = faults
        self._random = random
        self._next: list[str] = []
        self._broken: set[str] = set()
        self.spans: list[Span] = []

    async def run(self, seconds: float) -> None:
        """Returns when every fault is repaired."""
        end = monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._run_until(end))

    async def _run_until(self, end: float) -> None:
        while (left := end - monotonic()) > 0:
            fault = self._choose()
            if fault:
                await self._cause(fault, min(left, self._random.uniform(*SECONDS)))
            await asyncio.sleep(self._random.uniform(*PAUSE_SECONDS))

    def _choose(self) -> Fault | None:
        """Each kind once, in random order, before any comes again."""
        if not self._next:
            kinds = sorted({fault.name for fault in self._faults})
            self._next = self._random.sample(kinds, len(kinds))
        for name in self._next:
            alike = [each for each in self._faults if each.name == name]
            fault = self._random.choice(alike)
            if self._broken.isdisjoint(fault.parts):
                self._next.remove(name)
                return fault
        return None

    async def _cause(self, fault: Fault, seconds: float) -> None:
        self._broken |= fault.parts
        span = Span(fault.name, monotonic())
        self.spans.append(span)
        try:
            async with fault.cause(self._installation, self._random):
                await asyncio.sleep(seconds)
        finally:
            span.healed = monotonic()
            self._broken -= fault.parts
