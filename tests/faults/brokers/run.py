# SPDX-License-Identifier: MIT
"""Runs one fault of brokers while users live, and judges all answers and the stream."""

import asyncio
from time import monotonic

from tests.faults.brokers.scenarios import Fault
from tests.faults.brokers.world import World
from tests.faults.found import Found, judged

CALM_SECONDS = 2.0
GRACE_SECONDS = 30


async def run(fault: Fault, world: World, *, users: int, seconds: float) -> Found:
    """Causes the fault for so long while users live, and a little before and after."""
    living = asyncio.create_task(world.crowd.live(users))
    await asyncio.sleep(CALM_SECONDS)
    async with fault(world):
        await asyncio.sleep(seconds)
    healed = monotonic()
    await world.moved_on()
    await asyncio.sleep(CALM_SECONDS)
    world.crowd.ends.set()
    async with asyncio.timeout(world.crowd.patient_seconds + GRACE_SECONDS):
        await living
    await world.drained()
    await world.cluster.settled()
    return await judged(
        world.crowd.history,
        world.database.url,
        stored=await world.cluster.stored(),
        audit=await world.command("--audit"),
        outbox=world.outbox,
        healed=healed,
    )
