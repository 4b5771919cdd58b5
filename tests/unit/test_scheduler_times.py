# SPDX-License-Identifier: MIT
"""The times of the scheduler: expiry in the queue, pauses between retries, and metrics."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from service.application.errors import (
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    Overloaded,
)
from service.application.group_commit.group_commit import GroupCommit
from service.application.group_commit.pending import GroupMetrics
from service.application.group_commit.scheduler import (
    RETRY_PAUSE_MAX_SECONDS,
    RETRY_PAUSE_SECONDS,
)
from service.application.ports import Outcome
from service.domain.errors import ServiceError
from service.domain.session import Session
from tests.builders import a_command
from tests.simulated_time import pass_time
from tests.unit.in_memory import (
    InMemoryDatabase,
    commands_on,
    hold_slot,
    lose_after_commit,
    lose_before_commit,
    results_of,
)

pytestmark = pytest.mark.simulated_time


async def execute(commands: GroupCommit, session: Session) -> tuple[Any, float]:
    """The answer, and the seconds until it came."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    [answer] = await results_of(commands.execute(a_command(session)))
    return answer, round(loop.time() - began, 6)


def attempts(database: InMemoryDatabase, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times at which units of work begin, from now on."""
    times: list[float] = []
    run_unit_of_work = database.run_unit_of_work

    async def run(*arguments: Any) -> Any:
        times.append(asyncio.get_running_loop().time())
        return await run_unit_of_work(*arguments)

    monkeypatch.setattr(database, "run_unit_of_work", run)
    return times


def pauses(times: list[float]) -> list[float]:
    return [round(later - earlier, 9) for earlier, later in pairwise(times)]


async def test_every_queued_command_expires_at_its_own_time_while_the_slots_are_stuck(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, timeout=5.0)
    stuck = await hold_slot(database, commands)
    waiting = []
    for _ in range(3):
        waiting.append(asyncio.create_task(execute(commands, database.add())))
        await asyncio.sleep(1)

    answers = await asyncio.gather(*waiting)

    assert [(type(answer), after) for answer, after in answers] == [(Overloaded, 5.0)] * 3
    assert not stuck.done()
    database.gate.set()
    await stuck
    await commands.close()
    assert len(database.groups) == 1


async def test_a_command_begins_up_to_the_end_of_its_time_in_the_queue(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, timeout=5.0)
    first = await hold_slot(database, commands)
    second = asyncio.create_task(execute(commands, database.add()))
    await asyncio.sleep(4.75)

    database.gate.set()
    await first

    answer, after = await second
    assert isinstance(answer, Outcome)
    assert after == 4.75


async def test_commands_that_arrive_after_the_queue_was_empty_expire_too(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, timeout=5.0)
    for _ in range(3):
        first = await hold_slot(database, commands)
        answer, after = await execute(commands, database.add())
        assert (type(answer), after) == (Overloaded, 5.0)
        database.gate.set()
        await first


@pytest.mark.parametrize("lose", [lose_before_commit, lose_after_commit])
@pytest.mark.parametrize("obstacle", [Overloaded(), DependencyUnavailable("database")])
async def test_never_calls_an_uncertain_command_not_executed_while_the_pool_stays_full(
    database: InMemoryDatabase, lose: Any, obstacle: ServiceError
) -> None:
    database.commit_hooks.append(lose)
    database.open_failures.extend([None, *[obstacle] * 1000])
    commands = commands_on(database, timeout=2.0, resolve_timeout=30.0)

    answer, after = await execute(commands, database.add())

    assert isinstance(answer, DependencyUnavailable)
    assert answer.dependency == "database"
    assert 32.0 <= after <= 32.0 + RETRY_PAUSE_MAX_SECONDS


@pytest.mark.parametrize(
    ("obstacle", "refusal"),
    [
        (Overloaded(), Overloaded),
        (DependencyUnavailable("database"), DependencyUnavailable),
        (Contended(), Overloaded),
    ],
)
async def test_a_retry_whose_attempt_was_rolled_back_ends_with_its_time(
    database: InMemoryDatabase, obstacle: Exception, refusal: type[ServiceError]
) -> None:
    """No time is added: nothing has to be found out."""
    database.open_failures.extend([ConnectionLost(), *[obstacle] * 1000])
    commands = commands_on(database, timeout=2.0, resolve_timeout=30.0)

    answer, after = await execute(commands, database.add())

    assert type(answer) is refusal
    assert 2.0 <= after <= 2.0 + RETRY_PAUSE_MAX_SECONDS


async def test_a_refused_first_attempt_is_answered_at_once(database: InMemoryDatabase) -> None:
    database.open_failures.append(DependencyUnavailable("database"))

    answer, after = await execute(commands_on(database), database.add())

    assert (type(answer), after) == (DependencyUnavailable, 0.0)


async def test_pauses_between_retries_double_up_to_the_longest_pause(
    database: InMemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = attempts(database, monkeypatch)
    session = database.add()
    database.held_sessions.add((session.user_id, session.id))

    await execute(commands_on(database, timeout=10.0), session)

    doubling = [RETRY_PAUSE_SECONDS * 2**power for power in range(5)]
    assert max(doubling) < RETRY_PAUSE_MAX_SECONDS < 2 * max(doubling)
    seen = pauses(times)
    assert seen == doubling + [RETRY_PAUSE_MAX_SECONDS] * (len(seen) - len(doubling))
    assert len(seen) > 90


async def test_pauses_are_short_again_after_a_retry_was_answered(
    database: InMemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = attempts(database, monkeypatch)
    sessions = [database.add() for _ in range(2)]
    database.held_sessions.update((each.user_id, each.id) for each in sessions)
    commands = commands_on(database, groups_in_flight=2)
    first, second = [asyncio.create_task(execute(commands, each)) for each in sessions]
    await asyncio.sleep(1)

    database.held_sessions.remove((sessions[0].user_id, sessions[0].id))
    await first
    del times[:]
    await asyncio.sleep(2.5 * RETRY_PAUSE_SECONDS)

    assert len(times) == 1
    database.held_sessions.clear()
    await second


async def test_close_returns_only_when_a_command_that_is_retried_is_answered(
    database: InMemoryDatabase,
) -> None:
    """The retry begins after `close`, when the group that is under way has ended."""
    session = database.add()
    database.held_sessions.add((session.user_id, session.id))
    commands = commands_on(database)
    first = await hold_slot(database, commands)
    waiting = asyncio.create_task(commands.execute(a_command(session)))
    await asyncio.sleep(0)

    closing = asyncio.create_task(commands.close())
    database.gate.set()
    await asyncio.sleep(30)
    assert first.done()
    assert not closing.done()

    database.held_sessions.clear()
    await closing
    assert len(database.applied) == 2
    assert (await waiting).session.version == 2


async def test_metrics_tell_how_long_requests_waited_and_how_long_their_group_ran(
    database: InMemoryDatabase,
) -> None:
    seen = list[GroupMetrics]()
    commands = commands_on(database, observe=seen.append)
    first = await hold_slot(database, commands)
    others = []
    for _ in range(2):
        await asyncio.sleep(1)
        others.append(asyncio.create_task(commands.execute(a_command(database.add()))))
    await asyncio.sleep(2)
    database.commit_hooks.extend([lambda _work: None, lambda _work: pass_time(0.5)])
    database.gate.set()
    await results_of(first, *others)
    await commands.close()

    assert [each.waits for each in seen] == [(0.0,), (3.0, 2.0)]
    assert [each.duration for each in seen] == [4.0, 0.5]
    assert [each.size for each in seen] == [1, 2]


async def test_retries_begin_again_after_all_earlier_ones_were_answered(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database)
    for _ in range(3):
        database.save_failures.append(Contended())
        answer, after = await execute(commands, database.add())
        assert isinstance(answer, Outcome)
        assert after == RETRY_PAUSE_SECONDS


async def test_retries_run_in_groups_of_at_most_the_size_of_a_group_and_each_once(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, group_size_max=2)
    sessions = [database.add() for _ in range(5)]
    database.held_sessions.update((each.user_id, each.id) for each in sessions)
    waiting = [asyncio.create_task(execute(commands, each)) for each in sessions]
    await asyncio.sleep(1)

    del database.groups[:]
    database.held_sessions.clear()
    answers = await asyncio.gather(*waiting)

    assert {type(answer) for answer, _ in answers} == {Outcome}
    users = [each.user_id for each in sessions]
    assert database.groups == [frozenset(users[:2]), frozenset(users[2:4]), frozenset(users[4:])]


async def test_a_command_that_joins_the_retries_does_not_add_attempts_at_the_others(
    database: InMemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = attempts(database, monkeypatch)
    commands = commands_on(database)
    sessions = [database.add() for _ in range(2)]
    database.held_sessions.update((each.user_id, each.id) for each in sessions)
    waiting = []
    for session in sessions:
        waiting.append(asyncio.create_task(execute(commands, session)))
        await asyncio.sleep(1)

    del times[:]
    await asyncio.sleep(1)

    assert set(pauses(times)) == {RETRY_PAUSE_MAX_SECONDS}
    database.held_sessions.clear()
    await asyncio.gather(*waiting)


async def test_a_retry_is_not_begun_at_the_very_end_of_its_time(database: InMemoryDatabase) -> None:
    session = database.add()
    database.held_sessions.add((session.user_id, session.id))

    answer, after = await execute(commands_on(database, timeout=RETRY_PAUSE_SECONDS), session)

    assert (type(answer), after) == (Overloaded, RETRY_PAUSE_SECONDS)
    assert len(database.groups) == 1
