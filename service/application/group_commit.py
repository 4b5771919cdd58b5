"""Commands that arrive together share one transaction.

A command that finds a free slot starts at once. Only while all slots are busy do commands
wait, first come, first served, and then leave together. What the group cannot answer, a row
that somebody else has locked or a transaction that failed, is done again one by one, so that
no command suffers for its neighbours.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.application.batch import Batch, Outcome
from service.application.commands import Command, SessionKey
from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    Overloaded,
    RowLocked,
)
from service.application.ports import Clock, NewId, OpenUnitOfWork, UnitOfWork
from service.domain.errors import DomainError

ALONE_AT_ONCE = 2
"""How many commands may be done one by one at a time: each takes a connection."""

ATTEMPTS = 3


def _another(exc: DependencyUnavailable) -> DependencyUnavailable:
    """For each caller one of their own, since whoever raises it adds a traceback to it."""
    another = DependencyUnavailable(exc.dependency)
    another.__cause__ = exc.__cause__
    return another


@dataclass(eq=False, slots=True)
class _Ticket:
    """`attempt` is what a COMMIT whose end is unknown would have made true."""

    command: Command
    event_id: UUID
    begin_before: float
    answer: asyncio.Future[Outcome]
    attempt: Outcome | None = None

    def settle(self, result: Outcome | Exception) -> None:
        if self.answer.done():
            return
        if isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)


@dataclass(frozen=True, slots=True)
class ObservedGroup:
    """A group that was done: how long each command had waited for it, and how long it took.

    Times in seconds, of the monotonic clock.
    """

    waits: tuple[float, ...]
    duration: float

    @property
    def size(self) -> int:
        return len(self.waits)


Observe = Callable[[ObservedGroup], None]


class GroupCommit:
    """Executes commands. `timeout`, in seconds, is how long a command may wait to be begun.

    `observe` is told of every group, for metrics.
    """

    def __init__(
        self,
        open_unit_of_work: OpenUnitOfWork,
        clock: Clock,
        new_id: NewId,
        *,
        groups_in_flight: int,
        group_size_max: int,
        queue_max: int,
        timeout: float,
        observe: Observe = lambda _group: None,
    ) -> None:
        self._open_unit_of_work = open_unit_of_work
        self._clock = clock
        self._new_id = new_id
        self._idle_slots = groups_in_flight
        self._group_size_max = group_size_max
        self._queue_max = queue_max
        self._timeout = timeout
        self._observe = observe
        self._queue: deque[_Ticket] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._alone = asyncio.Semaphore(ALONE_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def require_room(self) -> None:
        """Raises Overloaded where a command would be refused for want of room."""
        if self._closed or len(self._queue) >= self._queue_max:
            raise Overloaded

    async def execute(self, command: Command) -> Outcome:
        """The session as committed.

        Raises the domain's refusals, Overloaded (certain not to have been executed) and
        DependencyUnavailable. A caller that goes away does not take the command with it.
        """
        self.require_room()
        loop = asyncio.get_running_loop()
        begin_before = loop.time() + self._timeout
        ticket = _Ticket(command, self._new_id(), begin_before, loop.create_future())
        self._queue.append(ticket)
        self._start_groups()
        return await ticket.answer

    async def close(self) -> None:
        """Takes no more commands, and returns when all that were taken are done."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start_groups(self) -> None:
        while self._idle_slots and self._queue:
            size = min(len(self._queue), self._group_size_max)
            group = [self._queue.popleft() for _ in range(size)]
            self._idle_slots -= 1
            self._start(self._run(group))
        self._watch_expiry()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _watch_expiry(self) -> None:
        """The queue is in order of expiry, so one timer for its head is enough."""
        if self._expiry is None and self._queue:
            head = self._queue[0].begin_before
            self._expiry = asyncio.get_running_loop().call_at(head, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = asyncio.get_running_loop().time()
        while self._queue and self._queue[0].begin_before <= now:
            self._queue.popleft().settle(Overloaded())
        self._watch_expiry()

    async def _run(self, group: list[_Ticket]) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        waits = tuple(begun - ticket.begin_before + self._timeout for ticket in group)
        try:
            left_over = await self._transaction(group, wait=False)
        except DependencyUnavailable as exc:
            left_over = []
            for ticket in group:
                ticket.settle(_another(exc))
        except Exception:  # noqa: BLE001  each command meets its own error when it runs alone
            left_over = group
        finally:
            self._idle_slots += 1
        self._observe(ObservedGroup(waits, clock() - begun))
        for ticket in left_over:
            self._start(self._run_alone(ticket))
        self._start_groups()

    async def _run_alone(self, ticket: _Ticket) -> None:
        async with self._alone:
            try:
                await self._retry(ticket)
            except Exception as exc:  # noqa: BLE001  it belongs to whoever waits for the answer
                ticket.settle(exc)

    async def _retry(self, ticket: _Ticket) -> None:
        for _ in range(ATTEMPTS):
            expired = asyncio.get_running_loop().time() > ticket.begin_before
            if expired and not ticket.attempt:
                break
            try:
                await self._transaction([ticket], wait=True)
            except (Contended, RowLocked, ConnectionLost, CommitUnknown):
                continue
            return
        raise DependencyUnavailable("database") if ticket.attempt else Overloaded

    async def _transaction(self, tickets: Sequence[_Ticket], *, wait: bool) -> list[_Ticket]:
        """Settles what it can; returns the tickets whose rows are locked by somebody else."""
        users = frozenset(ticket.command.user_id for ticket in tickets)
        async with self._open_unit_of_work(users) as work:
            batch, locked = await self._load(work, tickets, wait=wait)
            within_reach = [
                ticket for ticket in tickets if ticket.command.session_key not in locked
            ]
            results = [await self._result(work, batch, ticket) for ticket in within_reach]
            if batch.changes:
                await work.save(batch.changes)
                for ticket, result in zip(within_reach, results, strict=True):
                    ticket.attempt = result if isinstance(result, Outcome) else None
                await work.commit()
        for ticket, result in zip(within_reach, results, strict=True):
            ticket.settle(result)
        return [ticket for ticket in tickets if ticket.command.session_key in locked]

    async def _load(
        self, work: UnitOfWork, tickets: Sequence[_Ticket], *, wait: bool
    ) -> tuple[Batch, set[SessionKey]]:
        """The batch, and the keys of sessions that exist but are locked by somebody else."""
        session_keys = {ticket.command.session_key for ticket in tickets}
        sessions = await work.sessions.lock(session_keys, wait=wait)
        missing = session_keys - sessions.keys()
        locked = await work.sessions.existing(missing) if missing and not wait else set()
        # Only after the locks: who held one before us may have used the same key.
        keys = {key for ticket in tickets if (key := ticket.command.memory_key)}
        memories = dict(await work.events.remembered(keys)) if keys else {}
        return Batch(at=self._clock(), sessions=sessions, memories=memories), locked

    async def _result(
        self, work: UnitOfWork, batch: Batch, ticket: _Ticket
    ) -> Outcome | DomainError:
        # An earlier COMMIT may have gone through after all. It held the row's lock, which is
        # now ours, so it has ended, and its event tells how.
        user_id = ticket.command.user_id
        if ticket.attempt and await work.events.recorded(user_id, ticket.event_id):
            return ticket.attempt
        try:
            return batch.apply(ticket.command, ticket.event_id)
        except DomainError as refusal:
            return refusal
