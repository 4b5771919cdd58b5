# SPDX-License-Identifier: MIT
"""Runs one fault of brokers while users live, and judges all answers and the stream."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic

from tests.chaos.checker import Records, check
from tests.chaos.history import Attempt, Known, Wrong
from tests.faults.brokers.scenarios import Fault
from tests.faults.brokers.world import World
from tests.faults.verdict import verdict
from tests.running import a_connection

CALM_SECONDS = 2.0
GRACE_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of one fault. Times in seconds.

    `silence`: the longest time in which no request of any user succeeded. `stood_still`: the
    longest time in which a waiting outbox did not move. `recovery`: from the repair until the
    outbox moved. `wrong`: a sentence for each finding.
    """

    operations: int
    acknowledged: int
    events: int
    lost: int
    doubled: int
    out_of_order: int
    untrue: int
    silence: float
    stood_still: float
    recovery: float
    wrong: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not self.wrong


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
    return await _judged(world, healed)


async def _judged(world: World, healed: float) -> Found:
    async with a_connection(world.database.url) as connection:
        sessions = await connection.fetch("SELECT * FROM sessions")
        events = await connection.fetch("SELECT * FROM events")
    history = world.crowd.history
    records = Records([dict(each) for each in sessions], [dict(each) for each in events])
    wrong = await asyncio.to_thread(check, history, records)
    stream = verdict(
        (str(each["id"]) for each in events),
        await (await world.cluster.leader()).server.stored(),
        refusals=0, catch_up=0, take_over=None,
    )  # fmt: skip
    if not stream.is_clean:
        wrong.append(Wrong("stream", str(stream)))
    audit = await world.command("--audit")
    if audit.code:
        wrong.append(Wrong("audit", audit.out + audit.err))
    done = [each for each in history if each.known is Known.DONE]
    return Found(
        operations=len(history),
        acknowledged=len(done),
        events=len(events),
        lost=stream.lost + _count(wrong, "lost"),
        doubled=stream.doubled + _count(wrong, "doubled"),
        out_of_order=stream.out_of_order,
        untrue=len(wrong) - _count(wrong, "lost", "doubled", "stream", "audit"),
        silence=_silence(done),
        stood_still=world.outbox.stood_still(),
        recovery=world.outbox.moved_after(healed),
        wrong=tuple(map(str, wrong)),
    )


def _count(wrong: Sequence[Wrong], *kinds: str) -> int:
    return sum(each.kind in kinds for each in wrong)


def _silence(done: Sequence[Attempt]) -> float:
    ends = sorted(each.ended for each in done)
    return max((later - earlier for earlier, later in pairwise(ends)), default=0.0)
