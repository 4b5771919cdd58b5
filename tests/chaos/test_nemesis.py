# SPDX-License-Identifier: MIT
"""The seed decides the faults of each lane, and a fault that fails does not end the run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from random import Random
from typing import Any

import pytest

from tests.chaos import nemesis as nemesis_module
from tests.chaos.nemesis import AT_ONCE, Cause, Fault, Nemesis, NotCaused, plan

ALL: Any = None
"""No fault here uses an installation."""


@asynccontextmanager
async def caused(_all: object, _random: Random) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def in_vain(_all: object, _random: Random) -> AsyncIterator[None]:
    yield
    raise NotCaused


@asynccontextmanager
async def wrong(_all: object, _random: Random) -> AsyncIterator[None]:
    yield
    raise ValueError("not repaired")


def a_fault(name: str, *parts: str, cause: Cause = caused) -> Fault:
    return Fault(name, cause, frozenset(parts))


FAULTS = [a_fault(f"fault {number % 5}", f"part {number}") for number in range(10)]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nemesis_module, "SECONDS", (0.001, 0.01))
    monkeypatch.setattr(nemesis_module, "PAUSE_SECONDS", (0.0, 0.001))


def steps(seed: int, lane: int, count: int = 30) -> list[tuple[object, ...]]:
    found = islice(plan(FAULTS, seed, lane), count)
    return [(each.fault, each.seconds, each.pause, each.choices.random()) for each in found]


def test_the_seed_decides_the_plan_of_each_lane() -> None:
    assert steps(1, 0) == steps(1, 0)
    assert len({tuple(steps(seed, lane)) for seed in (1, 2) for lane in range(AT_ONCE)}) == 6


def test_each_kind_comes_once_before_any_comes_again() -> None:
    shares = [len(range(lane, 5, AT_ONCE)) for lane in range(AT_ONCE)]
    first = [
        step.fault.name
        for lane, share in enumerate(shares)
        for step in islice(plan(FAULTS, 1, lane), share)
    ]

    assert sorted(first) == [f"fault {number}" for number in range(5)]


async def test_no_two_faults_break_the_same_part_at_once() -> None:
    broken: set[str] = set()

    def breaking(*parts: str) -> Cause:
        @asynccontextmanager
        async def cause(_all: object, _random: Random) -> AsyncIterator[None]:
            assert broken.isdisjoint(parts)
            broken.update(parts)
            yield
            broken.difference_update(parts)

        return cause

    groups = [("a",), ("b",), ("a", "b"), ("b", "c"), ("c", "a")]
    nemesis = Nemesis(ALL, [a_fault(str(each), *each, cause=breaking(*each)) for each in groups], 1)
    await nemesis.run(0.3)

    assert nemesis.wrong == []
    assert {span.fault for span in nemesis.spans} == set(map(str, groups))


async def test_a_fault_that_harmed_nothing_is_not_counted() -> None:
    nemesis = Nemesis(ALL, [a_fault("cut", cause=in_vain), a_fault("frozen")], 1)
    await nemesis.run(0.1)

    assert {span.fault for span in nemesis.spans} == {"frozen"}


async def test_a_fault_that_could_not_be_repaired_is_a_finding_and_the_others_go_on() -> None:
    nemesis = Nemesis(ALL, [a_fault("frozen", cause=wrong)], 1)
    async with asyncio.timeout(5):
        await nemesis.run(0.1)

    assert len(nemesis.wrong) == len(nemesis.spans) > 1
    assert nemesis.wrong[0].sentence == "frozen: ValueError('not repaired')"


async def test_without_faults_the_run_lasts_as_long() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await Nemesis(ALL, [], 1).run(0.05)

    assert loop.time() - begun >= 0.05
