"""Group commit driven by hand, over a database in memory."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from service.application.commands import Command, PlanSession, SessionKey, StartSession
from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    Overloaded,
    TimedOut,
)
from service.application.group_commit.group_commit import GroupCommit
from service.application.ports import Asked, Change, Clock, Found, Memory, Outcome
from service.domain.errors import (
    ActiveSessionExists,
    IdempotencyKeyReused,
    PreconditionFailed,
    SessionNotFound,
    StatusTooLate,
)
from service.domain.session import Session, SessionStatus
from service.domain.text import Reason
from tests.builders import A_MINUTE, MORNING, a_command, a_session


@dataclass
class Memories:
    """A database: what is committed, and what is to go wrong, in order."""

    sessions: dict[SessionKey, Session] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    locked: set[SessionKey] = field(default_factory=set)
    claimed: set[UUID] = field(default_factory=set)
    open_failures: deque[Exception | None] = field(default_factory=deque)
    save_failures: deque[Exception | None] = field(default_factory=deque)
    commit_failures: deque[Callable[["Work"], None]] = field(default_factory=deque)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    groups: list[frozenset[UUID]] = field(default_factory=list)
    open_now: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def add(self, **overrides: Any) -> Session:
        session = a_session(**overrides)
        self.sessions[session.user_id, session.id] = session
        return session

    @asynccontextmanager
    async def unit_of_work(self, acting_users: frozenset[UUID]) -> AsyncIterator["Work"]:
        self.groups.append(acting_users)
        self.open_now += 1
        self.begun.release()
        try:
            await self.gate.wait()
            if self.open_failures and (failure := self.open_failures.popleft()):
                raise failure
            yield Work(self)
        finally:
            self.open_now -= 1


class Work:
    def __init__(self, database: Memories) -> None:
        self._database = database
        self._pending: list[Change] = []

    async def look(self, asked: Sequence[Asked]) -> list[Found]:
        return [self._found(each) for each in asked]

    def _found(self, asked: Asked) -> Found:
        command = asked.command
        return Found(
            session=copy(self._database.sessions.get(command.session_key)),
            memory=self._memory(command),
            active_session_id=self._active(command) if command.claims_user else None,
            recorded_at=next(
                (
                    event.occurred_at
                    for change in self._database.changes
                    for event_id, event in change.events
                    if event_id == asked.lost_event
                ),
                None,
            ),
        )

    def _memory(self, command: Command) -> Memory | None:
        for change in self._database.changes:
            if command.memory_key and change.command.memory_key == command.memory_key:
                fingerprint = change.command.fingerprint()
                return Memory(fingerprint=fingerprint, session=change.session)
        return None

    def _active(self, command: Command) -> UUID | None:
        for session in self._database.sessions.values():
            running = session.status is SessionStatus.IN_PROGRESS
            if running and session.user_id == command.user_id:
                return session.id
        return None

    async def save(self, changes: Sequence[Change]) -> set[SessionKey]:
        if self._database.save_failures and (failure := self._database.save_failures.popleft()):
            raise failure
        left_out = {each.command.session_key for each in changes if self._is_in_the_way(each)}
        self._pending = [each for each in changes if each.command.session_key not in left_out]
        if self._database.commit_failures:
            self._database.commit_failures.popleft()(self)
        self.really_commit()
        return left_out

    def _is_in_the_way(self, change: Change) -> bool:
        command = change.command
        is_claimed = command.claims_user and command.user_id in self._database.claimed
        return is_claimed or command.session_key in self._database.locked

    def really_commit(self) -> None:
        for change in self._pending:
            self._database.sessions[change.command.session_key] = change.session
            self._database.changes.append(change)


def lost_before_commit(_work: Work) -> None:
    raise CommitUnknown


def lost_after_commit(work: Work) -> None:
    work.really_commit()
    raise CommitUnknown


@pytest.fixture
async def database() -> Memories:
    return Memories()


def commands_on(
    database: Memories, clock: Clock = lambda: MORNING, **overrides: Any
) -> GroupCommit:
    limits: dict[str, Any] = {
        "groups_in_flight": 1,
        "group_size_max": 100,
        "queue_max": 1000,
        "timeout": 60.0,
        "resolve_timeout": 60.0,
    }
    return GroupCommit(
        database.unit_of_work,
        clock,
        uuid7,
        **limits | overrides,
    )


async def held(database: Memories, commands: GroupCommit) -> asyncio.Task[Outcome]:
    """A command that keeps the only slot until the gate opens."""
    database.gate.clear()
    task = asyncio.create_task(commands.execute(a_command(database.add())))
    await database.begun.acquire()
    return task


async def all_of(*awaitables: Any) -> list[Any]:
    return await asyncio.gather(*awaitables, return_exceptions=True)


async def test_a_lone_command_starts_at_once(database: Memories) -> None:
    session = database.add()

    outcome = await commands_on(database).execute(a_command(session))

    assert outcome == Outcome(database.sessions[session.user_id, session.id])
    assert outcome.session.status is SessionStatus.FAILED
    assert [change.session for change in database.changes] == [outcome.session]


async def test_commands_that_wait_leave_together_in_order_of_arrival(database: Memories) -> None:
    commands = commands_on(database, group_size_max=3)
    first = await held(database, commands)
    sessions = [database.add() for _ in range(5)]
    waiting = [asyncio.create_task(commands.execute(a_command(each))) for each in sessions]
    await asyncio.sleep(0)

    database.gate.set()
    await all_of(first, *waiting)

    users = [session.user_id for session in sessions]
    assert database.groups[1:] == [frozenset(users[:3]), frozenset(users[3:])]
    assert [change.session.user_id for change in database.changes[1:]] == users


async def test_no_more_groups_run_than_there_are_slots(database: Memories) -> None:
    commands = commands_on(database, groups_in_flight=2, group_size_max=1)
    database.gate.clear()
    sessions = [database.add() for _ in range(5)]
    waiting = [asyncio.create_task(commands.execute(a_command(each))) for each in sessions]
    await database.begun.acquire()
    await database.begun.acquire()

    assert database.open_now == 2
    database.gate.set()
    assert all(isinstance(each, Outcome) for each in await all_of(*waiting))


async def test_the_second_of_two_in_a_group_sees_what_the_first_did(database: Memories) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    session = database.add()
    twice = [asyncio.create_task(commands.execute(a_command(session))) for _ in range(2)]
    await asyncio.sleep(0)

    database.gate.set()
    await first
    done, refused = await all_of(*twice)

    assert done.session.version == 2
    assert isinstance(refused, StatusTooLate)
    assert len(database.groups) == 2


async def test_a_key_used_twice_in_a_group_is_replayed(database: Memories) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    session = database.add()
    same = a_command(session, idempotency_key="1")
    other = a_command(session, idempotency_key="1", reason=Reason("hip"))
    tasks = [asyncio.create_task(commands.execute(each)) for each in (same, same, other)]
    await asyncio.sleep(0)

    database.gate.set()
    await first
    done, replay, reused = await all_of(*tasks)

    assert replay == Outcome(done.session, replayed=True)
    assert isinstance(reused, IdempotencyKeyReused)


async def test_a_refused_command_does_not_hurt_its_neighbours(database: Memories) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    good = database.add()
    group = [
        a_command(),
        a_command(database.add(status=SessionStatus.COMPLETED)),
        a_command(database.add(), if_match=frozenset({9})),
        a_command(good),
    ]
    tasks = [asyncio.create_task(commands.execute(each)) for each in group]
    await asyncio.sleep(0)

    database.gate.set()
    await first
    missing, late, stale, done = await all_of(*tasks)

    assert [type(each) for each in (missing, late, stale)] == [
        SessionNotFound,
        StatusTooLate,
        PreconditionFailed,
    ]
    assert done.session.id == good.id
    assert len(database.groups) == 2


async def test_a_locked_row_is_left_to_wait_and_its_neighbours_go_on(database: Memories) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    locked, free = database.add(), database.add()
    database.locked.add((locked.user_id, locked.id))
    waiting, neighbour = (
        asyncio.create_task(commands.execute(a_command(each))) for each in (locked, free)
    )
    await asyncio.sleep(0)

    database.gate.set()
    await first
    assert (await neighbour).session.id == free.id
    assert not waiting.done()

    database.locked.clear()
    assert (await waiting).session.id == locked.id
    assert set(database.groups[2:]) == {frozenset({locked.user_id})}


async def test_a_row_that_stays_locked_is_given_up_as_certainly_not_executed(
    database: Memories,
) -> None:
    session = database.add()
    database.locked.add((session.user_id, session.id))

    with pytest.raises(Overloaded):
        await commands_on(database, timeout=0.0).execute(a_command(session))

    assert database.changes == []


async def test_commands_that_are_tried_again_take_room(database: Memories) -> None:
    commands = commands_on(database, queue_max=2)
    sessions = [database.add() for _ in range(2)]
    database.locked.update((each.user_id, each.id) for each in sessions)
    waiting = [asyncio.create_task(commands.execute(a_command(each))) for each in sessions]
    for _ in waiting:
        await database.begun.acquire()
    await database.begun.acquire()

    with pytest.raises(Overloaded):
        await commands.execute(a_command(database.add()))

    database.locked.clear()
    await all_of(*waiting)


@pytest.mark.parametrize(
    ("failure", "sizes"),
    [
        (Contended(), [1, 3, 1, 1, 1]),
        (ZeroDivisionError(), [1, 3, 1, 1, 1]),
        (ConnectionLost(), [1, 3, 3]),
        (TimedOut(), [1, 3, 3]),
    ],
)
async def test_a_group_that_failed_is_tried_again_one_by_one_if_one_is_to_blame(
    database: Memories, failure: Exception, sizes: list[int]
) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    sessions = [database.add() for _ in range(3)]
    tasks = [asyncio.create_task(commands.execute(a_command(each))) for each in sessions]
    await asyncio.sleep(0)

    database.save_failures.extend([None, failure])
    database.gate.set()
    await first
    outcomes = await all_of(*tasks)

    assert all(isinstance(each, Outcome) for each in outcomes)
    assert list(map(len, database.groups)) == sizes


async def test_does_not_begin_what_expired_while_others_were_tried_again(
    database: Memories, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + passed)

    def take_long(_work: Work) -> None:
        nonlocal passed
        passed = 120.0

    commands = commands_on(database)
    first = await held(database, commands)
    sessions = [database.add() for _ in range(3)]
    tasks = [asyncio.create_task(commands.execute(a_command(each))) for each in sessions]
    await asyncio.sleep(0)
    database.save_failures.extend([None, Contended()])
    database.commit_failures.extend([lambda _work: None, take_long])
    database.gate.set()
    await first

    assert [type(each) for each in await all_of(*tasks)] == [Outcome, Overloaded, Overloaded]
    assert list(map(len, database.groups)) == [1, 3, 1]


async def test_what_a_dead_database_kept_from_being_tried_again_is_told_so(
    database: Memories,
) -> None:
    commands = commands_on(database, timeout=0.05)
    database.save_failures.append(ConnectionLost())
    database.open_failures.extend([None, *(DependencyUnavailable("database") for _ in range(99))])

    with pytest.raises(DependencyUnavailable):
        await commands.execute(a_command(database.add()))


async def test_a_bug_is_told_to_whoever_asked(database: Memories) -> None:
    database.save_failures.append(ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        await commands_on(database).execute(a_command(database.add()))


async def test_every_command_of_a_group_learns_that_the_database_is_away(
    database: Memories,
) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    tasks = [asyncio.create_task(commands.execute(a_command())) for _ in range(3)]
    await asyncio.sleep(0)
    database.open_failures.extend(DependencyUnavailable("database") for _ in range(2))

    database.gate.set()
    outcomes = await all_of(first, *tasks)

    assert [type(each) for each in outcomes] == [DependencyUnavailable] * 4
    assert len(set(map(id, outcomes))) == 4
    assert len(database.groups) == 2


@pytest.mark.parametrize("lost", [lost_before_commit, lost_after_commit])
async def test_a_commit_of_unknown_end_is_looked_up_and_done_once(
    database: Memories, lost: Callable[[Work], None]
) -> None:
    session = database.add()
    database.commit_failures.append(lost)

    outcome = await commands_on(database).execute(a_command(session))

    assert outcome == Outcome(database.sessions[session.user_id, session.id])
    assert len(database.changes) == 1


async def test_a_commit_of_unknown_end_may_have_to_be_looked_up_twice(
    database: Memories,
) -> None:
    session = database.add()
    database.commit_failures.extend([lost_before_commit, lost_after_commit])

    outcome = await commands_on(database).execute(a_command(session))

    assert outcome.session.version == 2
    assert len(database.changes) == 1


async def test_of_two_unknown_commits_the_answer_is_of_the_one_that_went_through(
    database: Memories,
) -> None:
    """The first was still under way when it was looked for."""
    session = database.add()
    times = [MORNING + number * A_MINUTE for number in range(3)]
    lost: list[Work] = []

    def under_way(work: Work) -> None:
        lost.append(work)
        raise CommitUnknown

    def the_first_went_through(_work: Work) -> None:
        lost[0].really_commit()
        raise CommitUnknown

    database.commit_failures.extend([under_way, the_first_went_through])
    outcome = await commands_on(database, iter(times).__next__).execute(a_command(session))

    assert outcome.session.updated_at == times[0]
    assert outcome == Outcome(database.sessions[session.user_id, session.id])
    assert len(database.changes) == 1


async def test_what_came_after_an_unknown_commit_does_not_change_its_answer(
    database: Memories,
) -> None:
    session = database.add()

    def lost_and_edited(work: Work) -> None:
        work.really_commit()
        database.sessions[session.user_id, session.id].version = 9
        raise CommitUnknown

    database.commit_failures.append(lost_and_edited)
    outcome = await commands_on(database).execute(a_command(session))

    assert outcome.session.status is SessionStatus.FAILED
    assert len(database.changes) == 1


@pytest.mark.parametrize("obstacle", [Overloaded(), DependencyUnavailable("database")])
async def test_an_unknown_commit_is_resolved_when_the_obstacle_is_gone(
    database: Memories, obstacle: Exception
) -> None:
    session = database.add()
    database.commit_failures.append(lost_after_commit)
    database.open_failures.extend([None, obstacle, obstacle])

    outcome = await commands_on(database, timeout=0.0).execute(a_command(session))

    assert outcome.session.version == 2
    assert len(database.changes) == 1


async def test_never_claims_that_an_unknown_commit_was_not_executed(database: Memories) -> None:
    session = database.add()

    def lost_and_locked(_work: Work) -> None:
        database.locked.add((session.user_id, session.id))
        raise CommitUnknown

    database.commit_failures.append(lost_and_locked)

    with pytest.raises(DependencyUnavailable):
        await commands_on(database, timeout=0.0, resolve_timeout=0.0).execute(a_command(session))


async def test_refuses_when_the_queue_is_full(database: Memories) -> None:
    commands = commands_on(database, queue_max=1)
    first = await held(database, commands)
    second = asyncio.create_task(commands.execute(a_command(database.add())))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await commands.execute(a_command(database.add()))

    database.gate.set()
    await all_of(first, second)
    assert len(database.changes) == 2


async def test_refuses_what_waited_too_long_and_never_begins_it(database: Memories) -> None:
    commands = commands_on(database, timeout=0.0)
    first = await held(database, commands)
    waiting = [commands.execute(a_command(database.add())) for _ in range(2)]

    assert [type(each) for each in await all_of(*waiting)] == [Overloaded, Overloaded]

    database.gate.set()
    await first
    await commands.close()
    assert len(database.groups) == len(database.changes) == 1


async def test_does_not_begin_again_what_failed_after_its_time(database: Memories) -> None:
    database.save_failures.append(Contended())

    with pytest.raises(Overloaded):
        await commands_on(database, timeout=-1.0).execute(a_command(database.add()))

    assert len(database.groups) == 1


async def test_a_caller_that_goes_away_does_not_take_the_command_with_it(
    database: Memories,
) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    second = asyncio.create_task(commands.execute(a_command(database.add())))
    await asyncio.sleep(0)

    first.cancel()
    second.cancel()
    await all_of(first, second)
    database.gate.set()
    await commands.close()

    assert len(database.changes) == 2
    assert database.open_now == 0


async def test_closing_finishes_what_was_taken_and_takes_no_more(database: Memories) -> None:
    commands = commands_on(database, group_size_max=1)
    first = await held(database, commands)
    second = asyncio.create_task(commands.execute(a_command(database.add())))
    await asyncio.sleep(0)

    closing = asyncio.create_task(commands.close())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await commands.execute(a_command(database.add()))
    database.gate.set()
    await closing

    assert first.done()
    assert len(database.changes) == 2
    await second


async def test_every_group_is_observed_also_when_it_is_tried_again(
    database: Memories,
) -> None:
    seen: list[int] = []

    def observe(group: GroupMetrics) -> None:
        seen.append(group.size)

    commands = commands_on(database, observe=observe)
    database.save_failures.append(Contended())
    await commands.execute(a_command(database.add()))
    await commands.close()

    assert seen == [1, 1]


async def test_acts_for_the_callers_of_the_group_alone(database: Memories) -> None:
    session = database.add()
    stranger = a_command(session, user_id=uuid4())

    with pytest.raises(SessionNotFound):
        await commands_on(database).execute(stranger)

    assert database.groups == [frozenset({stranger.user_id})]


async def test_an_observer_that_fails_hurts_nobody(database: Memories) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, each: failures.append(each))

    def observe(_group: GroupMetrics) -> None:
        raise ZeroDivisionError

    commands = commands_on(database, observe=observe)
    for _ in range(3):
        assert (await commands.execute(a_command(database.add()))).session.version == 2
    await commands.close()
    await asyncio.sleep(0)

    assert [type(each["exception"]) for each in failures] == [ZeroDivisionError] * 3


def a_start(database: Memories, **overrides: Any) -> Command:
    session = database.add(status=SessionStatus.PLANNED, **overrides)
    return a_command(session, StartSession)


async def test_of_many_starts_in_a_group_one_wins(database: Memories) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    user_id = uuid4()
    tasks = [
        asyncio.create_task(commands.execute(a_start(database, user_id=user_id))) for _ in range(5)
    ]
    await asyncio.sleep(0)

    database.gate.set()
    await first
    won, *refused = await all_of(*tasks)

    assert {type(each) for each in refused} == {ActiveSessionExists}
    assert {each.details["activeSessionId"] for each in refused} == {str(won.session.id)}
    assert len(database.groups) == 2


async def test_a_claimed_user_is_left_to_wait_and_neighbours_go_on(database: Memories) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    start = a_start(database)
    other = database.add(user_id=start.user_id)
    other.status = SessionStatus.COMPLETED
    database.claimed.add(start.user_id)
    waiting, late, neighbour = (
        asyncio.create_task(commands.execute(each))
        for each in (start, a_command(other), a_start(database))
    )
    await asyncio.sleep(0)

    database.gate.set()
    await first
    assert isinstance((await all_of(late))[0], StatusTooLate)
    assert (await neighbour).session.status is SessionStatus.IN_PROGRESS
    assert not waiting.done()

    database.claimed.clear()
    assert (await waiting).session.status is SessionStatus.IN_PROGRESS


async def test_what_hangs_on_a_change_that_was_left_out_waits_with_it(database: Memories) -> None:
    """Another start, a replay, a second command to the session; not the user's other sessions."""
    commands = commands_on(database)
    first = await held(database, commands)
    start = a_start(database)
    start = replace(start, idempotency_key="tap-1")
    user_id = start.user_id
    hanging = [
        start,
        start,
        a_start(database, user_id=user_id),
        replace(start, idempotency_key="2"),
    ]
    free = [a_command(database.add(user_id=user_id, status=SessionStatus.COMPLETED)), a_command()]
    database.locked.add(start.session_key)
    waiting = [asyncio.create_task(commands.execute(each)) for each in hanging]
    neighbours = [asyncio.create_task(commands.execute(each)) for each in free]
    await asyncio.sleep(0)

    database.gate.set()
    await first
    late, missing = await all_of(*neighbours)
    assert (type(late), type(missing)) == (StatusTooLate, SessionNotFound)
    assert not any(each.done() for each in waiting)

    database.locked.clear()
    done, replayed, refused, repeated = await all_of(*waiting)
    assert done.session.status is SessionStatus.IN_PROGRESS
    assert replayed == Outcome(done.session, replayed=True)
    assert isinstance(refused, ActiveSessionExists)
    assert isinstance(repeated, StatusTooLate)


async def test_what_was_written_is_answered_whatever_was_left_out_beside_it(
    database: Memories,
) -> None:
    """A plan with a key claims its user, but a session in progress does not decide about it."""
    commands = commands_on(database)
    first = await held(database, commands)
    start = a_start(database)
    plan = a_command(kind=PlanSession, user_id=start.user_id, session_id=uuid7())
    plan = replace(plan, idempotency_key="tap-1")
    database.locked.add(start.session_key)
    waiting, planned = (asyncio.create_task(commands.execute(each)) for each in (start, plan))
    await asyncio.sleep(0)

    database.gate.set()
    await first
    assert await planned == Outcome(database.sessions[plan.session_key])
    assert not waiting.done()

    database.locked.clear()
    await waiting


async def test_what_follows_on_an_end_in_the_same_group_starts_in_the_next(
    database: Memories,
) -> None:
    """One write would meet the index on sessions in progress, row after row."""
    commands = commands_on(database)
    first = await held(database, commands)
    running = database.add()
    follow = a_start(database, user_id=running.user_id)
    ended, started = (
        asyncio.create_task(commands.execute(each)) for each in (a_command(running), follow)
    )
    await asyncio.sleep(0)

    database.gate.set()
    await first

    assert (await ended).session.status is SessionStatus.FAILED
    assert (await started).session.status is SessionStatus.IN_PROGRESS
    assert [len(group) for group in database.groups] == [1, 1, 1]


async def test_a_session_that_is_planned_can_start_and_fail_in_the_same_group(
    database: Memories,
) -> None:
    commands = commands_on(database)
    first = await held(database, commands)
    plan = a_command(kind=PlanSession, start_now=True)
    fail = a_command(user_id=plan.user_id, session_id=plan.session_id)
    tasks = [asyncio.create_task(commands.execute(each)) for each in (plan, fail)]
    await asyncio.sleep(0)

    database.gate.set()
    await first
    planned, failed = await all_of(*tasks)

    assert (planned.session.version, failed.session.version) == (2, 3)
    events = [event for change in database.changes[1:] for _, event in change.events]
    assert [event.session_version for event in events] == [1, 2, 3]
    assert len({event_id for change in database.changes for event_id, _ in change.events}) == 4


@pytest.mark.parametrize("lost", [lost_before_commit, lost_after_commit])
async def test_a_lost_plan_is_looked_up_and_done_once(
    database: Memories, lost: Callable[[Work], None]
) -> None:
    database.commit_failures.append(lost)
    command = a_command(kind=PlanSession, idempotency_key="tap-1")

    outcome = await commands_on(database).execute(command)

    assert outcome == Outcome(database.sessions[command.session_key])
    assert len(database.changes) == 1


async def test_a_retry_of_a_plan_gets_the_first_session(database: Memories) -> None:
    commands = commands_on(database)
    user_id = uuid4()
    plan, retry = (
        a_command(kind=PlanSession, user_id=user_id, session_id=uuid7(), idempotency_key="tap-1")
        for _ in range(2)
    )

    first, again = await commands.execute(plan), await commands.execute(retry)

    assert again == Outcome(first.session, replayed=True)
    assert len(database.sessions) == 1
