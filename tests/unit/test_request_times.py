# SPDX-License-Identifier: MIT
"""A request learns how long it waited for its group, and how long the group took."""

import asyncio
from typing import Any

import pytest

from service.application.group_commit.pending import RequestTimes
from service.application.group_commit.scheduler import RETRY_PAUSE_SECONDS, SchedulerLimits
from service.application.queries import Queries
from tests.builders import a_command, a_session
from tests.unit.in_memory import (
    InMemoryDatabase,
    commands_on,
    hold_slot,
    lose_before_commit,
    results_of,
)

pytestmark = pytest.mark.simulated_time


async def opened_after(seconds: float, gate: asyncio.Event, answer: Any) -> None:
    """Waits for the answer, and opens the gate meanwhile."""
    waiting = asyncio.create_task(results_of(answer))
    await asyncio.sleep(seconds)
    gate.set()
    await waiting


async def test_a_command_that_finds_a_free_slot_does_not_wait(database: InMemoryDatabase) -> None:
    commands, times = commands_on(database), RequestTimes()
    database.gate.clear()

    command = a_command(database.add())
    await opened_after(2, database.gate, commands.execute(command, times))

    assert times == RequestTimes(queue=0, group=2)


async def test_a_command_waits_while_the_slots_are_busy(database: InMemoryDatabase) -> None:
    commands, times = commands_on(database, timeout=9.0), RequestTimes()
    await hold_slot(database, commands)
    command = a_command(database.add())

    await opened_after(3, database.gate, commands.execute(command, times))

    assert times == RequestTimes(queue=3, group=0)


async def test_failed_attempts_belong_to_the_wait(database: InMemoryDatabase) -> None:
    commands, times = commands_on(database), RequestTimes()
    database.commit_hooks.append(lose_before_commit)

    await commands.execute(a_command(database.add()), times)

    assert times.queue == pytest.approx(RETRY_PAUSE_SECONDS)
    assert times.group == 0


async def test_a_refused_command_has_times_too(database: InMemoryDatabase) -> None:
    commands, times = commands_on(database), RequestTimes()
    database.gate.clear()

    await opened_after(2, database.gate, commands.execute(a_command(a_session()), times))

    assert times == RequestTimes(queue=0, group=2)


async def test_a_command_that_no_group_took_has_waited_alone(database: InMemoryDatabase) -> None:
    commands, times = commands_on(database, timeout=5.0), RequestTimes()
    stuck = await hold_slot(database, commands)

    await results_of(commands.execute(a_command(database.add()), times))

    assert times == RequestTimes(queue=5, group=0)
    database.gate.set()
    await stuck


async def test_a_read_has_times_too(database: InMemoryDatabase) -> None:
    limits = SchedulerLimits(groups_in_flight=1, group_size_max=9, queue_max=9, timeout=5)
    queries, times = Queries(database.run_read, limits), RequestTimes()
    session = database.add()
    database.read_gate.clear()

    await opened_after(2, database.read_gate, queries.session(session.user_id, session.id, times))

    assert times == RequestTimes(queue=0, group=2)
