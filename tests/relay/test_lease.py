"""Who holds something is heard of, and knows when that has come to an end."""

import asyncio
from dataclasses import dataclass, field

import pytest

from service.application.errors import ConnectionLost
from service.relay.lease import Lease
from tests.running import eventually

A_SHORT_TIME = 0.05
A_LONG_TIME = 3600.0


@dataclass
class FakeTurn:
    """Counts renewals; `answers` when the database does."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    breaks: bool = False
    renewals: int = 0

    async def renew(self) -> None:
        self.renewals += 1
        await self.answers.wait()
        if self.breaks:
            raise ConnectionLost


async def test_it_is_renewed_as_long_as_it_is_held() -> None:
    turn = FakeTurn()
    turn.answers.set()

    async def is_renewed() -> bool:
        return turn.renewals > 5

    async with Lease(turn, A_SHORT_TIME):
        await eventually(is_renewed)


async def test_it_is_not_held_any_more_when_nothing_is_heard_of_the_database() -> None:
    turn = FakeTurn()

    async with Lease(turn, A_SHORT_TIME) as lease:

        async def is_over() -> bool:
            return not lease.is_held()

        await eventually(is_over)
        turn.answers.set()


async def test_raises_at_its_end_what_a_renewal_raised() -> None:
    turn = FakeTurn(breaks=True)
    turn.answers.set()

    async def is_broken() -> bool:
        return turn.renewals > 0

    with pytest.raises(ConnectionLost):
        async with Lease(turn, A_SHORT_TIME):
            await eventually(is_broken)


async def test_what_went_wrong_meanwhile_comes_first() -> None:
    turn = FakeTurn(breaks=True)
    turn.answers.set()

    async def is_broken() -> bool:
        return turn.renewals > 0

    with pytest.raises(ValueError, match="a knee that hurts"):
        async with Lease(turn, A_SHORT_TIME):
            await eventually(is_broken)
            raise ValueError("a knee that hurts")


async def test_its_end_is_not_waited_for() -> None:
    async with Lease(FakeTurn(), A_LONG_TIME) as lease:
        assert lease.is_held()
