# SPDX-License-Identifier: MIT
"""The time limit of connections that wait: one timer for all, and none that fires too early."""

import asyncio
from dataclasses import dataclass, field

import pytest

from service.http.connection.waiting import Waiting

pytestmark = pytest.mark.simulated_time

LIMIT = 10.0


@dataclass(eq=False)
class Connection:
    """Notes when its time was up."""

    expired: list[float] = field(default_factory=list)

    def expire(self, _queue: Waiting) -> None:
        self.expired.append(_now())

    def abort(self) -> None:
        raise AssertionError


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_each_connection_expires_after_the_limit() -> None:
    waiting = Waiting(LIMIT)
    start = _now()
    connections = [Connection() for _ in range(3)]
    for each in connections:
        waiting.add(each)
        await asyncio.sleep(4)

    await asyncio.sleep(LIMIT)

    assert [each.expired for each in connections] == [[start + LIMIT + 4 * n] for n in range(3)]


async def test_a_connection_that_does_not_wait_may_leave() -> None:
    waiting = Waiting(LIMIT)

    waiting.discard(Connection())

    assert waiting.longest() is None


async def test_a_connection_that_left_does_not_expire() -> None:
    waiting = Waiting(LIMIT)
    gone, kept = Connection(), Connection()
    waiting.add(gone)
    await asyncio.sleep(1)
    waiting.add(kept)
    due = _now() + LIMIT
    waiting.discard(gone)

    await asyncio.sleep(2 * LIMIT)

    assert (gone.expired, kept.expired) == ([], [due])


async def test_a_connection_that_comes_again_gets_the_whole_limit() -> None:
    waiting = Waiting(LIMIT)
    connection = Connection()
    waiting.add(connection)
    await asyncio.sleep(LIMIT - 1)
    waiting.discard(connection)
    waiting.add(connection)
    due = _now() + LIMIT

    await asyncio.sleep(2 * LIMIT)

    assert connection.expired == [due]


async def test_goes_on_after_it_was_empty() -> None:
    waiting = Waiting(LIMIT)
    first, second = Connection(), Connection()
    waiting.add(first)
    await asyncio.sleep(5 * LIMIT)
    waiting.add(second)
    due = _now() + LIMIT

    await asyncio.sleep(2 * LIMIT)

    assert second.expired == [due]


async def test_names_the_connection_that_has_waited_longest() -> None:
    waiting = Waiting(LIMIT)
    first, second = Connection(), Connection()
    assert waiting.longest() is None

    waiting.add(first)
    waiting.add(second)
    assert waiting.longest() is first

    waiting.discard(first)
    waiting.add(first)
    assert waiting.longest() is second


async def test_thousands_of_connections_share_a_timer() -> None:
    waiting = Waiting(LIMIT)
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]  # noqa: SLF001  its timers
    for _ in range(5000):
        connection = Connection()
        waiting.add(connection)
        waiting.discard(connection)

    assert len(loop._scheduled) == before + 1  # type: ignore[attr-defined]  # noqa: SLF001  asyncio's own
