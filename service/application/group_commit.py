"""Commands that arrive together share one transaction.

A command that finds a free slot starts at once. Only while all slots are busy do commands
wait, first come, first served, and then leave together. What a group cannot settle, for a row
that somebody else has locked or a transaction that failed, is tried again by one task beside
the slots, so that no command suffers for its neighbours.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.application.batch import Batch, Outcome
from service.application.commands import Command
from service.application.errors import (
    CommitUnknown,
    DependencyUnavailable,
    Overloaded,
    TransactionFailed,
)
from service.application.ports import Clock, NewId, OpenUnitOfWork, UnitOfWork
from service.domain.errors import DomainError

RETRY_PAUSE_SECONDS = 0.005
RETRY_PAUSE_MAX_SECONDS = 0.1


@dataclass(eq=False, slots=True)
class _Ticket:
    """`attempt` is what a COMMIT whose end is unknown would have made true.

    `alone`: it was in a group that the database refused, and may have been the reason.
    """

    command: Command
    event_id: UUID
    begin_before: float
    answer: asyncio.Future[Outcome]
    attempt: Outcome | None = None
    tried: bool = False
    alone: bool = False

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


def ignore(_group: ObservedGroup) -> None:
    pass


class GroupCommit:
    """Executes commands. Times in seconds.

    `timeout` is how long a command may wait to be begun; `resolve_timeout`, how much longer one
    whose COMMIT was lost may try to find out what became of it. `observe` is told of every group,
    also of those that are tried again.
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
        resolve_timeout: float,
        observe: Observe = ignore,
    ) -> None:
        self._open_unit_of_work = open_unit_of_work
        self._clock = clock
        self._new_id = new_id
        self._idle_slots = groups_in_flight
        self._group_size_max = group_size_max
        self._queue_max = queue_max
        self._timeout = timeout
        self._resolve_timeout = resolve_timeout
        self._observe = observe
        self._queue: deque[_Ticket] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._retries: list[_Ticket] = []
        self._retrying = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def require_room(self) -> None:
        """Raises Overloaded where a command would be refused for want of room."""
        if self._closed or len(self._queue) + len(self._retries) >= self._queue_max:
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
        try:
            self._retry(await self._attempt(group))
        finally:
            self._idle_slots += 1
            self._start_groups()

    def _retry(self, tickets: list[_Ticket]) -> None:
        self._retries += tickets
        if self._retries and not self._retrying:
            self._retrying = True
            self._start(self._retry_until_settled())

    async def _retry_until_settled(self) -> None:
        pause = RETRY_PAUSE_SECONDS
        while self._give_up_on_expired():
            await asyncio.sleep(pause)
            number = len(self._retries)
            for group in self._groups_of(self._retries):
                again = await self._attempt(group)
                done = set(group)
                self._retries = [each for each in self._retries if each not in done] + again
            progress = len(self._retries) < number
            pause = RETRY_PAUSE_SECONDS if progress else min(2 * pause, RETRY_PAUSE_MAX_SECONDS)
        self._retrying = False

    def _give_up_on_expired(self) -> bool:
        """Whether any are left."""
        now = asyncio.get_running_loop().time()
        left = []
        for ticket in self._retries:
            if ticket.begin_before + (self._resolve_timeout if ticket.attempt else 0) > now:
                left.append(ticket)
            else:
                ticket.settle(DependencyUnavailable("database") if ticket.attempt else Overloaded())
        self._retries = left
        return bool(left)

    def _groups_of(self, tickets: list[_Ticket]) -> list[list[_Ticket]]:
        together = [ticket for ticket in tickets if not ticket.alone]
        size = self._group_size_max
        groups = [together[start : start + size] for start in range(0, len(together), size)]
        return groups + [[ticket] for ticket in tickets if ticket.alone]

    async def _attempt(self, group: list[_Ticket]) -> list[_Ticket]:
        """Settles what it can; returns what has to be tried again."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        again = await self._try(group)
        for ticket in again:
            ticket.tried = True
        waits = tuple(begun - ticket.begin_before + self._timeout for ticket in group)
        # Apart from this, so that an observer that fails takes nothing with it.
        observed = ObservedGroup(waits, clock() - begun)
        asyncio.get_running_loop().call_soon(self._observe, observed)
        return again

    async def _try(self, group: list[_Ticket]) -> list[_Ticket]:
        try:
            return await self._transaction(group)
        except (DependencyUnavailable, Overloaded) as exc:
            for ticket in group:
                if not ticket.tried:
                    ticket.settle(_another(exc))
            return [ticket for ticket in group if ticket.tried]
        except TransactionFailed as exc:
            for ticket in group:
                ticket.alone = ticket.alone or exc.blames_one
            return group
        except Exception as exc:  # noqa: BLE001  each command meets its own error when it is alone
            if len(group) == 1:
                group[0].settle(exc)
                return []
            for ticket in group:
                ticket.alone = True
            return group

    async def _transaction(self, tickets: Sequence[_Ticket]) -> list[_Ticket]:
        """Settles the tickets, but for those it returns: their rows are locked by somebody else."""
        users = frozenset(ticket.command.user_id for ticket in tickets)
        async with self._open_unit_of_work(users) as work:
            batch, locked = await self._load(work, tickets)
            results = await self._results(work, batch, locked, tickets)
            if batch.changes:
                await work.save(batch.changes)
                await self._commit(work, results)
        for ticket, result in results:
            ticket.settle(result)
        return list(locked.difference(ticket for ticket, _ in results))

    async def _load(
        self, work: UnitOfWork, tickets: Sequence[_Ticket]
    ) -> tuple[Batch, set[_Ticket]]:
        """The batch, and the tickets whose rows are locked by somebody else."""
        keys = {ticket.command.session_key for ticket in tickets}
        sessions = await work.sessions.lock(keys)
        missing = keys - sessions.keys()
        locked = await work.sessions.existing(missing) if missing else set()
        # Only after the locks: who held one before us may have used the same key.
        used = {key for ticket in tickets if (key := ticket.command.memory_key)}
        memories = dict(await work.events.remembered(used)) if used else {}
        batch = Batch(at=self._clock(), sessions=sessions, memories=memories)
        return batch, {each for each in tickets if each.command.session_key in locked}

    async def _results(
        self, work: UnitOfWork, batch: Batch, locked: set[_Ticket], tickets: Sequence[_Ticket]
    ) -> list[tuple[_Ticket, Outcome | DomainError]]:
        # A lost COMMIT may have gone through after all. It held the row's lock, which is now
        # ours, so it has ended, and its event tells how.
        lost = {(each.command.user_id, each.event_id) for each in tickets if each.attempt}
        recorded = await work.events.recorded(lost) if lost else set()
        results: list[tuple[_Ticket, Outcome | DomainError]] = []
        for ticket in tickets:
            if ticket.attempt and ticket.event_id in recorded:
                results.append((ticket, ticket.attempt))
            elif ticket not in locked:
                results.append((ticket, _applied(batch, ticket)))
        return results

    async def _commit(
        self, work: UnitOfWork, results: list[tuple[_Ticket, Outcome | DomainError]]
    ) -> None:
        try:
            await work.commit()
        except CommitUnknown:
            for ticket, result in results:
                if isinstance(result, Outcome) and not result.replayed:
                    ticket.attempt = result
            raise


def _applied(batch: Batch, ticket: _Ticket) -> Outcome | DomainError:
    try:
        return batch.apply(ticket.command, ticket.event_id)
    except DomainError as refusal:
        return refusal


def _another(exc: DependencyUnavailable | Overloaded) -> DependencyUnavailable | Overloaded:
    """For each caller one of their own, since whoever raises it adds a traceback to it."""
    if isinstance(exc, Overloaded):
        return Overloaded()
    another = DependencyUnavailable(exc.dependency)
    another.__cause__ = exc.__cause__
    return another
