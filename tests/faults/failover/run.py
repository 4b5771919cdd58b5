# SPDX-License-Identifier: MIT
"""Runs one failover, does what docs/recovery.md tells the operator, and judges the result."""

import re

from tests.chaos.checker import Records
from tests.chaos.report import report
from tests.faults.failover.outcome import Answers, Outcome, judge
from tests.faults.failover.scenarios import Failover
from tests.faults.failover.world import World, a_world, connected, is_empty
from tests.faults.verdict import verdict
from tests.faults.world import until

FOREIGN = re.compile(r"^foreign: message (\d+),")


async def run(name: str, failover: Failover, *, commands: int) -> Outcome:
    """`commands`: acknowledged before each step of the fault, and after it."""
    async with a_world(name) as world:
        await failover.cause(world, commands)
        await world.reached(commands)
        if failover.loses:
            await until(lambda: _has_parked(world))
        await world.ended()
        answers = await _judged(world)
        foreign, parked = await _stream(world), await _parked(world)
        code, found = await _audited(world)
        assert len(found) == foreign, (found, foreign)
        repaired = await _repaired(world, found) if code else 0
        _whole_run, row = report(
            world.crowd.history, [world.span], [], seed=0, minutes=0, users=0, notes=[]
        ).rows
        return Outcome(
            answers=answers, silence=row.silence, recovery=row.recoveries[0],
            foreign=foreign, parked=parked, audit=(code, repaired),
        )  # fmt: skip


async def _judged(world: World) -> Answers:
    async with connected(world.primary) as database:
        await until(lambda: is_empty(database))
        sessions = await database.fetch("SELECT * FROM sessions")
        events = await database.fetch("SELECT * FROM events")
    return judge(world.crowd.history, Records(sessions, events), crashed=world.crashed)


async def _stream(world: World) -> int:
    """How many events of the stream the database does not have; none may be missing in it."""
    async with connected(world.primary) as database:
        rows = await database.fetch(
            "SELECT id FROM events WHERE id NOT IN (SELECT event_id FROM parked_events)"
        )
    ids = (str(row["id"]) for row in rows)
    stored = await world.broker.stored()
    found = verdict(ids, stored, refusals=0, catch_up=0, take_over=None)
    assert found.lost == found.doubled == 0, found
    return found.invented


async def _parked(world: World) -> int:
    async with connected(world.primary) as database:
        return int(await database.value("SELECT count(*) FROM parked_events"))


async def _has_parked(world: World) -> bool:
    return await _parked(world) > 0


async def _audited(world: World) -> tuple[int, list[int]]:
    """Its exit code, and the sequences of the messages that are no event of the database."""
    audit = await world.start_relay("--audit")
    code = await audit.end()
    found = (FOREIGN.match(line) for line in audit.out)
    return code, [int(each[1]) for each in found if each]


async def _repaired(world: World, foreign: list[int]) -> int:
    """Deletes the messages of lost events, and publishes what they were in the way of.

    Returns the exit code of the audit afterwards.
    """
    for sequence in foreign:
        await world.broker.delete_message(sequence)
    retry = await world.start_relay("--retry-parked")
    assert await retry.end() == 0, retry.output
    async with connected(world.primary) as database:
        await until(lambda: is_empty(database))
    assert await _parked(world) == 0
    return (await _audited(world))[0]
