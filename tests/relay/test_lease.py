"""The lease: renewed while the relay is active, and over when the database falls silent."""

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
    """Counts renewals, which wait until `answers` is set."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    breaks: bool = False
    renewals: int = 0

    async def renew(self) -> None:
        self.renewals += 1
        await self.answers.wait()
        if self.breaks:
            raise ConnectionLost


async def test_renews_the_lease_while_it_is_held() -> None:
    turn = FakeTurn()
    turn.answers.set()

    async def is_renewed() -> bool:
        return turn.renewals > 5

    async with Lease(turn, A_SHORT_TIME):
        await eventually(is_renewed)


async def test_the_lease_ends_if_the_database_does_not_answer() -> None:
    turn = FakeTurn()

    async with Lease(turn, A_SHORT_TIME) as lease:

        async def is_over() -> bool:
            return not lease.is_held()

        await eventually(is_over)
        turn.answers.set()


async def test_raises_the_error_of_a_renewal_when_the_block_ends() -> None:
    turn = FakeTurn(breaks=True)
    turn.answers.set()

    async def is_broken() -> bool:
        return turn.renewals > 0

    with pytest.raises(ConnectionLost):
        async with Lease(turn, A_SHORT_TIME):
            await eventually(is_broken)


async def test_the_error_of_the_block_takes_precedence_over_that_of_a_renewal() -> None:
    turn = FakeTurn(breaks=True)
    turn.answers.set()

    async def is_broken() -> bool:
        return turn.renewals > 0

    with pytest.raises(ValueError, match="a knee that hurts"):
        async with Lease(turn, A_SHORT_TIME):
            await eventually(is_broken)
            raise ValueError("a knee that hurts")


async def test_the_end_of_the_block_does_not_wait_for_a_renewal() -> None:
    async with Lease(FakeTurn(), A_LONG_TIME) as lease:
        assert lease.is_held()
