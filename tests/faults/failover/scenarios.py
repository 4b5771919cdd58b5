# SPDX-License-Identifier: MIT
"""Three ways to lose the primary. Each function causes one while users send commands."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from tests.faults.failover.outcome import Outcome
from tests.faults.failover.world import World, answers
from tests.faults.postgres import Postgres
from tests.faults.world import until


@dataclass(frozen=True)
class Failover:
    """`loses`: acknowledged commands may be lost, and that must be noticed."""

    cause: Callable[[World, int], Awaitable[None]]
    loses: bool

    def is_as_promised(self, found: Outcome) -> bool:
        """Nothing is lost; or the relay, the audit and the count of commands all say what is."""
        if found.answers.doubled or found.answers.untrue or found.answers.wrong:
            return False
        losses = (found.answers.lost, found.foreign, found.parked)
        return all(losses) and found.audit == (1, 0) if self.loses else found.is_lossless


async def synchronous_standby_promoted(world: World, commands: int) -> None:
    """Every COMMIT waits for the standby. The primary crashes amid all of them."""
    standby = await world.a_standby(synchronous=True)
    await world.start_users(world.primary, standby)
    await world.reached(commands)
    await _crash_and_promote(world, standby)


async def asynchronous_standby_promoted(world: World, commands: int) -> None:
    """The standby is cut off; the primary goes on for a while, also to the stream, and crashes."""
    standby = await world.a_standby(synchronous=False)
    await world.start_users(world.primary, standby)
    await world.reached(commands)
    world.link.change(closed=True)
    await _go_on(world, commands)
    await _crash_and_promote(world, standby)


async def older_backup_restored(world: World, commands: int) -> None:
    """A backup is made under load. Later the primary and its disk are gone."""
    await world.start_users(world.primary)
    await world.reached(commands)
    home = await world.copied("backup", is_standby=False)
    await _go_on(world, commands)
    restored = Postgres(home, {"port": str(world.primary.port)})
    await _crash(world)
    await world.started(restored)
    await _taken_over(world, restored)


async def _go_on(world: World, commands: int) -> None:
    await world.reached(commands)
    await world.published(commands // 2)


async def _crash_and_promote(world: World, standby: Postgres) -> None:
    await _crash(world)
    await standby.cluster.execute("SELECT pg_promote()")
    await _taken_over(world, standby)


async def _crash(world: World) -> None:
    world.span.begun = monotonic()
    await asyncio.to_thread(world.primary.crash)
    world.crashed = monotonic()


async def _taken_over(world: World, server: Postgres) -> None:
    await until(lambda: answers(server))
    world.span.healed = monotonic()
    world.primary = server


FAILOVERS = {
    "synchronous standby promoted": Failover(synchronous_standby_promoted, loses=False),
    "asynchronous standby promoted, cut off before": Failover(
        asynchronous_standby_promoted, loses=True
    ),
    "older backup restored, the stream is newer": Failover(older_backup_restored, loses=True),
}
