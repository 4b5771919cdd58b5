"""A group: commands that are done in one transaction, each as if it were alone."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeGuard
from uuid import UUID

from service.application.commands import Command, SessionKey
from service.application.errors import (
    CommitUnknown,
    DependencyUnavailable,
    Overloaded,
    TransactionFailed,
)
from service.application.group_commit.working_set import Batch, Outcome
from service.application.ports import Asked, Change, Clock, Found, NewId, OpenUnitOfWork, UnitOfWork
from service.domain.errors import DomainError


@dataclass(eq=False, slots=True)
class Ticket:
    """A command on its way, and the future that its caller waits for.

    `arrived` is of the event loop's clock. `attempts` are what COMMITs whose end is unknown would
    have made true, by the times that their events would have. `alone`: the database refused it in a
    group, for which it may be to blame. `refusal`: why it could not be tried again, so far.
    """

    command: Command
    event_id: UUID
    arrived: float
    answer: asyncio.Future[Outcome]
    attempts: dict[datetime, Outcome] = field(default_factory=dict)
    tried: bool = False
    alone: bool = False
    refusal: "DependencyUnavailable | Overloaded | None" = None

    @property
    def asked(self) -> Asked:
        return Asked(command=self.command, lost_event=self.event_id if self.attempts else None)

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
        """Settles the tickets, but for those it returns, which somebody else was in the way of."""
        users = frozenset(ticket.command.user_id for ticket in tickets)
        async with self._open_unit_of_work(users) as work:
            found = await work.look([ticket.asked for ticket in tickets])
            met = list(zip(tickets, found, strict=True))
            commands = [(ticket.command, each) for ticket, each in met]
            batch = Batch.of(commands, at=self._clock(), new_id=self._new_id)
            results = _results(batch, met)
            left_out = await _saved(work, batch.changes, results) if batch.changes else set()
        settled = set()
        for result in results:
            if not result.basis & left_out:
                result.ticket.settle(result.outcome)
                settled.add(result.ticket)
        again = [ticket for ticket in tickets if ticket not in settled]
        for ticket in again:
            ticket.alone = False
        return again


@dataclass(frozen=True, slots=True)
class _Result:
    """What becomes of a command, if the `basis` is saved as it is in the batch."""

    ticket: Ticket
    outcome: Outcome | DomainError
    basis: set[SessionKey]


def _results(batch: Batch, met: Iterable[tuple[Ticket, Found]]) -> list[_Result]:
    results = []
    for ticket, found in met:
        if found.recorded_at:
            results.append(_Result(ticket, ticket.attempts[found.recorded_at], set()))
        elif not batch.has_to_wait(ticket.command):
            outcome = _applied(batch, ticket)
            # What is new is written if, and only if, its own session is not left out.
            own = {ticket.command.session_key}
            basis = own if _is_new(outcome) else batch.basis_of(ticket.command)
            results.append(_Result(ticket, outcome, basis))
    return results


async def _saved(
    work: UnitOfWork, changes: Sequence[Change], results: Sequence[_Result]
) -> set[SessionKey]:
    try:
        return await work.save(changes)
    except CommitUnknown:
        for result in results:
            if _is_new(result.outcome):
                result.ticket.attempts[result.outcome.session.updated_at] = result.outcome
        raise


def _is_new(outcome: Outcome | DomainError) -> TypeGuard[Outcome]:
    return isinstance(outcome, Outcome) and not outcome.replayed


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
