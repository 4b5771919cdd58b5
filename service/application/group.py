"""A group: commands that are done in one transaction, each as if it were alone."""

import asyncio
from collections.abc import Callable, Sequence
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


@dataclass(eq=False, slots=True)
class Ticket:
    """A command on its way, and the future that its caller waits for.

    `arrived` is of the event loop's clock. `attempt` is what a COMMIT whose end is unknown would
    have made true. `alone`: the database refused it in a group, for which it may be to blame.
    `refusal`: why it could not be tried again, so far.
    """

    command: Command
    event_id: UUID
    arrived: float
    answer: asyncio.Future[Outcome]
    attempt: Outcome | None = None
    tried: bool = False
    alone: bool = False
    refusal: "DependencyUnavailable | Overloaded | None" = None

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


class Groups:
    """Does groups of commands; `observe` is told of each."""

    def __init__(
        self, open_unit_of_work: OpenUnitOfWork, clock: Clock, new_id: NewId, observe: Observe
    ) -> None:
        self._open_unit_of_work = open_unit_of_work
        self._clock = clock
        self._new_id = new_id
        self._observe = observe

    async def attempt(self, group: list[Ticket]) -> list[Ticket]:
        """Settles what it can; returns what has to be tried again."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        again = await self._try(group)
        for ticket in again:
            ticket.tried = True
        waits = tuple(begun - ticket.arrived for ticket in group)
        # Apart from this, so that an observer that fails takes nothing with it.
        observed = ObservedGroup(waits, clock() - begun)
        asyncio.get_running_loop().call_soon(self._observe, observed)
        return again

    async def _try(self, group: list[Ticket]) -> list[Ticket]:
        try:
            return await self._transaction(group)
        except (DependencyUnavailable, Overloaded) as exc:
            for ticket in group:
                ticket.refusal = _another(exc)
                if not ticket.tried:
                    ticket.settle(ticket.refusal)
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

    async def _transaction(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Settles the tickets, but for those it returns, which have to wait for somebody else."""
        users = frozenset(ticket.command.user_id for ticket in tickets)
        async with self._open_unit_of_work(users) as work:
            free = await _claimed(work, tickets)
            batch, locked = await self._load(work, free)
            recorded = await _recorded(work, tickets)
            results = _results(batch, recorded, tickets, waiting=locked | {*tickets} - {*free})
            if batch.changes:
                await work.save(batch.changes)
                await self._commit(work, results)
        for ticket, result in results:
            ticket.settle(result)
        settled = {ticket for ticket, _ in results}
        return [ticket for ticket in tickets if ticket not in settled]

    async def _load(self, work: UnitOfWork, tickets: Sequence[Ticket]) -> tuple[Batch, set[Ticket]]:
        """The batch, and the tickets whose rows are locked by somebody else."""
        commands = [ticket.command for ticket in tickets]
        keys = {command.session_key for command in commands if not command.creates}
        sessions = await work.sessions.lock(keys) if keys else {}
        missing = keys - sessions.keys()
        locked = await work.sessions.existing(missing) if missing else set()
        # Only after the locks and claims: who held them before us may have used the same key,
        # or started a session.
        claimed = {command.user_id for command in commands if command.claims_user}
        used = {key for command in commands if (key := command.memory_key)}
        batch = Batch(
            at=self._clock(),
            new_id=self._new_id,
            sessions=sessions,
            active=await work.sessions.active(claimed) if claimed else {},
            memories=dict(await work.events.remembered(used)) if used else {},
        )
        return batch, {each for each in tickets if each.command.session_key in locked}

    async def _commit(
        self, work: UnitOfWork, results: list[tuple[Ticket, Outcome | DomainError]]
    ) -> None:
        try:
            await work.commit()
        except CommitUnknown:
            for ticket, result in results:
                if isinstance(result, Outcome) and not result.replayed:
                    ticket.attempt = result
            raise


async def _claimed(work: UnitOfWork, tickets: Sequence[Ticket]) -> list[Ticket]:
    """The tickets but for those whose users somebody else has claimed."""
    claiming = {each.command.user_id for each in tickets if each.command.claims_user}
    claimed = await work.sessions.claim(claiming) if claiming else set()
    return [
        each for each in tickets if not each.command.claims_user or each.command.user_id in claimed
    ]


async def _recorded(work: UnitOfWork, tickets: Sequence[Ticket]) -> set[UUID]:
    """The events of commands whose COMMIT was lost, and went through after all.

    It held what is locked and claimed by now, and so has ended; or else it made a session, whose
    key and event are unique.
    """
    lost = {(each.command.user_id, each.event_id) for each in tickets if each.attempt}
    return await work.events.recorded(lost) if lost else set()


def _results(
    batch: Batch, recorded: set[UUID], tickets: Sequence[Ticket], *, waiting: set[Ticket]
) -> list[tuple[Ticket, Outcome | DomainError]]:
    results: list[tuple[Ticket, Outcome | DomainError]] = []
    for ticket in tickets:
        if ticket.attempt and ticket.event_id in recorded:
            results.append((ticket, ticket.attempt))
        elif ticket not in waiting and not batch.has_to_wait(ticket.command):
            results.append((ticket, _applied(batch, ticket)))
    return results


def _applied(batch: Batch, ticket: Ticket) -> Outcome | DomainError:
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
