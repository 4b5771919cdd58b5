# SPDX-License-Identifier: MIT
"""Causes faults at random, several at once, and ends each of them after a while."""

import asyncio
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from itertools import count
from math import inf
from random import Random
from time import monotonic

from tests.chaos.history import Attempt, Wrong
from tests.chaos.installation import Installation

AT_ONCE = 3
SECONDS = (1.0, 6.0)
PAUSE_SECONDS = (0.0, 3.0)
Cause = Callable[[Installation, Random], AbstractAsyncContextManager[None]]


class NotCaused(Exception):
    """The fault has harmed nothing, because another one was in its way. It is not counted."""


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


@dataclass(frozen=True)
class Step:
    """One fault of a plan. `choices`: for what the fault itself chooses. Times in seconds."""

    fault: Fault
    seconds: float
    pause: float
    choices: Random


def plan(faults: Sequence[Fault], seed: int, lane: int) -> Iterator[Step]:
    """The faults of one lane, without end; they depend on the arguments alone.

    The lanes share a random order of all kinds, so that each comes once before any comes again.
    """
    kinds = sorted({fault.name for fault in faults})
    random = Random(f"{seed} {lane}")  # noqa: S311  no secret
    for turn in count():
        order = Random(f"{seed} turn {turn}").sample(kinds, len(kinds))  # noqa: S311  no secret
        for name in order[lane::AT_ONCE]:
            fault = random.choice([each for each in faults if each.name == name])
            choices = Random(random.random())  # noqa: S311  no secret
            yield Step(fault, random.uniform(*SECONDS), random.uniform(*PAUSE_SECONDS), choices)


class Nemesis:
    """`wrong`: faults that could not be caused or repaired."""

    def __init__(self, installation: Installation, faults: Sequence[Fault], seed: int) -> None:
        self._installation = installation
        self._faults = faults
        self._seed = seed
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.spans: list[Span] = []
        self.wrong: list[Wrong] = []

    async def run(self, seconds: float) -> None:
        """Returns when every fault is repaired."""
        end = monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for lane in range(min(AT_ONCE, len({fault.name for fault in self._faults}))):
                group.create_task(self._run_until(end, plan(self._faults, self._seed, lane)))
            await asyncio.sleep(seconds)  # also if there are no faults

    async def _run_until(self, end: float, steps: Iterator[Step]) -> None:
        for step in steps:
            async with AsyncExitStack() as stack:
                for part in sorted(step.fault.parts):  # in one order, so that no two wait in a ring
                    await stack.enter_async_context(self._locks[part])
                left = end - monotonic()
                if left <= 0:
                    return
                await self._cause(step, min(left, step.seconds))
            await asyncio.sleep(min(step.pause, max(0, end - monotonic())))

    async def _cause(self, step: Step, seconds: float) -> None:
        span = Span(step.fault.name, monotonic())
        self.spans.append(span)
        try:
            async with step.fault.cause(self._installation, step.choices):
                await asyncio.sleep(seconds)
        except NotCaused:
            self.spans.remove(span)
        except Exception as exc:  # noqa: BLE001  the others go on; the run is not clean
            traceback.print_exc(file=sys.stderr)
            self.wrong.append(Wrong("nemesis", f"{step.fault.name}: {exc!r}"))
        finally:
            span.healed = monotonic()
