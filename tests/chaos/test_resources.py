# SPDX-License-Identifier: MIT
"""The comparison of resources finds planted growth of each kind, and allows a little."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.chaos.parts import Part, Usage
from tests.chaos.resources import Resources, at_rest, compared, grown, resources
from tests.running import TestDatabase

MIB = 2**20
USAGE = Usage(memory=200 * MIB, files=60, threads=12, age=40)
BEFORE = Resources({"replica-1": USAGE, "relay-1": USAGE}, connections=30)


@pytest.mark.parametrize(
    ("kind", "allowed"), [("memory", 150 * MIB), ("files", 40), ("threads", 16)]
)
def test_finds_a_part_that_has_grown(kind: str, allowed: int) -> None:
    most = getattr(USAGE, kind) + allowed

    def relay_with(count: int) -> list[str]:
        usage = replace(USAGE, **{kind: count})
        return list(grown(BEFORE, replace(BEFORE, parts={"replica-1": USAGE, "relay-1": usage})))

    assert relay_with(most) == []
    assert relay_with(most + 1) == [
        f"relay-1 has {most + 1:,} of {kind}, and had {getattr(USAGE, kind):,}"
    ]


def test_finds_connections_that_were_left_open() -> None:
    assert list(grown(BEFORE, replace(BEFORE, connections=54))) == []
    assert list(grown(BEFORE, replace(BEFORE, connections=55))) == [
        "the service has 55 connections to PostgreSQL, and had 30"
    ]


def test_the_report_has_both_sides_of_the_comparison() -> None:
    now = replace(BEFORE, parts={"relay-1": replace(USAGE, files=61)}, connections=31)

    assert list(compared(BEFORE, now)) == [
        "relay-1: 200 MiB (before: 200), 61 files (60), 12 threads (12), its process is 40 s old",
        "connections to PostgreSQL: 31 (30)",
    ]


@pytest.fixture
def installation(database: TestDatabase) -> Any:
    """Has one part, whose process is the one of the test."""
    part = Part("replica-1", "serve", environment={})
    own: Any = SimpleNamespace(running=SimpleNamespace(pid=os.getpid()))
    part.process = own
    return SimpleNamespace(database=database, parts=[part])


@pytest.fixture
def more_files() -> Iterator[list[int]]:
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(60)]
    yield files
    for each in files:
        os.close(each)


async def test_measures_what_a_process_has(installation: Any, more_files: list[int]) -> None:
    with_files = (await resources(installation)).parts["replica-1"]
    while more_files:
        os.close(more_files.pop())
    usage = (await resources(installation)).parts["replica-1"]

    assert with_files.files - usage.files >= 40
    assert usage.memory >= psutil.Process().memory_info().rss / 2
    assert usage.threads >= 1
    assert usage.age > 0


@pytest.mark.usefixtures("more_files")
async def test_growth_that_stays_is_found(
    installation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.chaos.resources.REST_SECONDS", 0)
    usage = (await resources(installation)).parts["replica-1"]
    before = Resources({"replica-1": replace(usage, files=usage.files - 60)}, connections=100)

    now = await at_rest(installation, before)

    assert len(list(grown(before, now))) == 1


async def test_growth_that_passes_is_waited_for(installation: Any, more_files: list[int]) -> None:
    usage = (await resources(installation)).parts["replica-1"]
    before = Resources({"replica-1": replace(usage, files=usage.files - 60)}, connections=100)

    def close_files() -> None:
        while more_files:
            os.close(more_files.pop())

    asyncio.get_running_loop().call_later(0.1, close_files)
    now = await at_rest(installation, before)

    assert list(grown(before, now)) == []
