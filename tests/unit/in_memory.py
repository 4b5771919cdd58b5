# SPDX-License-Identifier: MIT
"""A database in memory, whose transactions a test can hold and break."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from uuid_utils.compat import uuid7

from service.application.command import Command, SessionKey
from service.application.commands import StartSession
from service.application.errors import CommitUnknown
from service.application.group_commit.group_commit import GroupCommit
from service.application.group_commit.observing import ObserveCommands, ignore_commands
from service.application.group_commit.pending import ObserveGroup, ignore_group
from service.application.group_commit.scheduler import SchedulerLimits
from service.application.ports import (
    AppliedCommand,
    Clock,
    FindSession,
    HistoryEvent,
    IdempotencyRecord,
    ListSessions,
    LoadedCommand,
    LoadRequest,
    Outcome,
    Read,
    ReadHistory,
)
from service.domain.session import Session, SessionStatus
from tests.builders import MORNING, a_command, a_session

T = TypeVar("T")
R = TypeVar("R", bound=Read)


@dataclass
class InMemoryDatabase:
    """`applied` is what was committed. `open_failures` and the like are raised in order.

    `gate` holds every unit of work that has begun, and `read_gate` every reader; `begun` counts
    both, and `groups` lists their acting users. `held_sessions` and `held_users` are those that
    another transaction holds. `harmful`: reads that fail the statement that executes them.
    """

    sessions: dict[SessionKey, Session] = field(default_factory=dict)
    applied: list[AppliedCommand] = field(default_factory=list)
    held_sessions: set[SessionKey] = field(default_factory=set)
    held_users: set[UUID] = field(default_factory=set)
    open_failures: deque[Exception | None] = field(default_factory=deque)
    save_failures: deque[Exception | None] = field(default_factory=deque)
    commit_hooks: deque[Callable[["InMemoryUnitOfWork"], None]] = field(default_factory=deque)
    confirm_failures: deque[Exception | None] = field(default_factory=lambda: deque([None] * 99))
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    read_gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    groups: list[frozenset[UUID]] = field(default_factory=list)
    harmful: dict[Read, Exception] = field(default_factory=dict)
    open_now: int = 0

    def __post_init__(self) -> None:
        self.gate.set()
        self.read_gate.set()

    def add(self, **overrides: Any) -> Session:
        session = a_session(**overrides)
        self.sessions[session.user_id, session.id] = session
        return session

    def add_start(self, **overrides: Any) -> Command:
        """A planned session, and the command that starts it."""
        session = self.add(status=SessionStatus.PLANNED, **overrides)
        return a_command(session, StartSession)

    async def run_unit_of_work(
        self, acting_users: frozenset[UUID], work: Callable[["InMemoryUnitOfWork"], T]
    ) -> T:
        async with self._transaction(acting_users, self.gate):
            return work(InMemoryUnitOfWork(self))

    async def run_read(
        self, acting_users: frozenset[UUID], read: Callable[["InMemoryReader"], T]
    ) -> T:
        async with self._transaction(acting_users, self.read_gate):
            return read(InMemoryReader(self, acting_users))

    @asynccontextmanager
    async def _transaction(
        self, acting_users: frozenset[UUID], gate: asyncio.Event
    ) -> AsyncIterator[None]:
        self.groups.append(acting_users)
        self.open_now += 1
        self.begun.release()
        try:
            await gate.wait()
            if self.open_failures and (failure := self.open_failures.popleft()):
                raise failure
            yield
        finally:
            self.open_now -= 1


class InMemoryUnitOfWork:
    def __init__(self, database: InMemoryDatabase) -> None:
        self._database = database
        self._saved: list[AppliedCommand] = []

    def load(self, requests: Sequence[LoadRequest]) -> list[LoadedCommand]:
        return [self._load(each) for each in requests]

    def _load(self, request: LoadRequest) -> LoadedCommand:
        command, database = request.command, self._database
        is_user_held = command.locks_user and command.user_id in database.held_users
        return LoadedCommand(
            command=command,
            session=copy(database.sessions.get(command.session_key)),
            must_wait=is_user_held or command.session_key in database.held_sessions,
            idempotency_record=self._record(command),
            active_session_id=self._active(command) if command.locks_user else None,
            is_committed=any(
                event_id == request.uncertain_event
                for each in database.applied
                for event_id, _ in each.events
            ),
        )

    def _record(self, command: Command) -> IdempotencyRecord | None:
        for each in self._database.applied:
            if command.record_key and each.command.record_key == command.record_key:
                fingerprint = each.command.fingerprint()
                return IdempotencyRecord(fingerprint=fingerprint, session=each.session)
        return None

    def _active(self, command: Command) -> UUID | None:
        for session in self._database.sessions.values():
            is_active = session.status is SessionStatus.IN_PROGRESS
            if is_active and session.user_id == command.user_id:
                return session.id
        return None

    def save(self, applied: Sequence[AppliedCommand]) -> None:
        if self._database.save_failures and (failure := self._database.save_failures.popleft()):
            raise failure
        self._saved = list(applied)

    def commit(self) -> None:
        if self._database.commit_hooks:
            self._database.commit_hooks.popleft()(self)
        self.commit_now()

    def confirm(self) -> None:
        if failure := self._database.confirm_failures.popleft():
            raise failure

    def commit_now(self) -> None:
        for each in self._saved:
            self._database.sessions[each.command.session_key] = each.session
            self._database.applied.append(each)


class InMemoryReader:
    def __init__(self, database: InMemoryDatabase, acting_users: frozenset[UUID]) -> None:
        self._database = database
        self._acting_users = acting_users

    def find(self, requests: Sequence[FindSession]) -> list[Session | None]:
        return [self._database.sessions.get(each) for each in self._allowed(requests)]

    def newest(self, requests: Sequence[ListSessions]) -> list[list[Session]]:
        return [self._newest(each) for each in self._allowed(requests)]

    def histories(self, requests: Sequence[ReadHistory]) -> list[list[HistoryEvent] | None]:
        return [self._history(each) for each in self._allowed(requests)]

    def _allowed(self, requests: Sequence[R]) -> Sequence[R]:
        assert requests
        assert {each.user_id for each in requests} <= self._acting_users
        for each in requests:
            if each in self._database.harmful:
                raise self._database.harmful[each]
        return requests

    def _newest(self, request: ListSessions) -> list[Session]:
        wanted, after = request.wanted, request.after
        found = [
            each
            for each in self._database.sessions.values()
            if each.user_id == request.user_id
            and (not wanted.statuses or each.status in wanted.statuses)
            and (wanted.since is None or each.session_date >= wanted.since)
            and (wanted.until is None or each.session_date < wanted.until)
            and (after is None or (each.session_date, each.id) < after)
        ]
        found.sort(key=lambda each: (each.session_date, each.id), reverse=True)
        return found[: request.rows_max]

    def _history(self, request: ReadHistory) -> list[HistoryEvent] | None:
        if (request.user_id, request.session_id) not in self._database.sessions:
            return None
        found = [
            HistoryEvent(
                id=event_id,
                type=event.type,
                session_version=event.session_version,
                occurred_at=event.occurred_at,
                data=event.data(),
            )
            for each in self._database.applied
            for event_id, event in each.events
            if (event.user_id, event.session_id) == (request.user_id, request.session_id)
            and event.session_version > request.after
        ]
        return found[: request.rows_max]


def lose_before_commit(_work: InMemoryUnitOfWork) -> None:
    raise CommitUnknown


def lose_after_commit(work: InMemoryUnitOfWork) -> None:
    work.commit_now()
    raise CommitUnknown


def commands_on(
    database: InMemoryDatabase,
    clock: Clock = lambda: MORNING,
    observe: ObserveGroup = ignore_group,
    observe_commands: ObserveCommands = ignore_commands,
    **overrides: Any,
) -> GroupCommit:
    limits: dict[str, Any] = {
        "groups_in_flight": 1,
        "group_size_max": 100,
        "queue_max": 1000,
        "timeout": 60.0,
        "resolve_timeout": 60.0,
    }
    return GroupCommit(
        database.run_unit_of_work,
        clock,
        uuid7,
        SchedulerLimits(**limits | overrides),
        observe,
        observe_commands=observe_commands,
    )


async def hold_slot(database: InMemoryDatabase, commands: GroupCommit) -> asyncio.Task[Outcome]:
    """A command that keeps the only slot until the gate opens."""
    database.gate.clear()
    task = asyncio.create_task(commands.execute(a_command(database.add())))
    await database.begun.acquire()
    return task


async def execute_together(
    database: InMemoryDatabase, commands: GroupCommit, *group: Command
) -> list[asyncio.Task[Outcome]]:
    """Executes the commands in one group, behind a command of another session."""
    first = await hold_slot(database, commands)
    tasks = [asyncio.create_task(commands.execute(each)) for each in group]
    await asyncio.sleep(0)
    database.gate.set()
    await first
    return tasks


async def results_of(*awaitables: Any) -> list[Any]:
    return await asyncio.gather(*awaitables, return_exceptions=True)
