# SPDX-License-Identifier: MIT
"""The lease: renewed while the relay is active, and over when the database falls silent."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from service.application.errors import ConnectionLost
from service.relay.lease import Lease
from tests.simulated_time import pass_time

pytestmark = pytest.mark.simulated_time

LEASE = 10.0
A_MOMENT = 0.001


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class FakeTurn:
    """Counts renewals, which wait until `answers` is set, and then take `seconds` more."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    breaks: bool = False
    seconds: float = 0
    renewals: list[float] = field(default_factory=list)

    async def renew(self) -> None:
        self.renewals.append(now())
        await self.answers.wait()
        await asyncio.sleep(self.seconds)
        if self.breaks:
            raise ConnectionLost


@pytest.fixture
async def turn() -> FakeTurn:
    turn = FakeTurn()
    turn.answers.set()
    return turn


async def test_asks_for_renewal_several_times_within_a_lease(turn: FakeTurn) -> None:
    began = now()

    async with Lease(turn, LEASE) as lease:
        for _ in range(100):
            await asyncio.sleep(1)
            assert lease.is_held()

    gaps = [later - earlier for earlier, later in pairwise([began, *turn.renewals])]
    assert 0 < max(gaps) <= LEASE / 2


async def test_the_lease_ends_if_the_database_does_not_answer(turn: FakeTurn) -> None:
    turn.answers.clear()
    async with Lease(turn, LEASE) as lease:
        await asyncio.sleep(LEASE - A_MOMENT)
        assert lease.is_held()
        await asyncio.sleep(A_MOMENT)
        assert not lease.is_held()
        turn.answers.set()


async def test_an_answer_renews_the_lease_from_when_it_was_asked_for(turn: FakeTurn) -> None:
    """The database counts from the question: it may have answered at once."""
    turn.seconds = 4.0
    async with Lease(turn, LEASE) as lease:
        await asyncio.sleep(3 + 4)
        [asked] = turn.renewals
        turn.answers.clear()
        await asyncio.sleep(asked + LEASE - now() - A_MOMENT)
        assert lease.is_held()
        await asyncio.sleep(2 * A_MOMENT)
        assert not lease.is_held()
        turn.answers.set()


async def test_a_process_that_was_frozen_for_a_lease_finds_it_over(turn: FakeTurn) -> None:
    async with Lease(turn, LEASE) as lease:
        await asyncio.sleep(1)
        pass_time(LEASE)
        assert not lease.is_held()


async def test_raises_the_error_of_a_renewal_when_the_block_ends(turn: FakeTurn) -> None:
    turn.breaks = True

    with pytest.raises(ConnectionLost):
        async with Lease(turn, LEASE):
            await asyncio.sleep(LEASE)


async def test_the_error_of_the_block_takes_precedence_over_that_of_a_renewal(
    turn: FakeTurn,
) -> None:
    turn.breaks = True

    with pytest.raises(ValueError, match="a knee that hurts"):
        async with Lease(turn, LEASE):
            await asyncio.sleep(LEASE)
            raise ValueError("a knee that hurts")


async def test_the_end_of_the_block_does_not_wait_for_the_next_renewal(turn: FakeTurn) -> None:
    began = now()

    async with Lease(turn, LEASE) as lease:
        assert lease.is_held()

    assert now() == began
    assert turn.renewals == []


async def test_the_end_of_the_block_waits_for_a_renewal_that_was_sent(turn: FakeTurn) -> None:
    """To cancel it would break the connection."""
    turn.seconds = 5.0
    began = now()

    async with Lease(turn, LEASE):
        await asyncio.sleep(LEASE / 2 - A_MOMENT)
        [asked] = turn.renewals

    assert now() == asked + turn.seconds > began + LEASE / 2
