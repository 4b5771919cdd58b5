# SPDX-License-Identifier: MIT
"""One group of commands in one transaction: load, apply, save, commit, answer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.application.errors import (
    CommitUnknown,
    DependencyUnavailable,
    Overloaded,
    TransactionFailed,
)
from service.application.group_commit.observing import (
    ObserveCommands,
    ObservedCommands,
    Resolution,
    ignore_commands,
)
from service.application.group_commit.pending import PendingCommand
from service.application.group_commit.working_set import WorkingSet
from service.application.ports import (
    AppliedCommand,
    Clock,
    LoadedCommand,
    NewId,
    Outcome,
    RunUnitOfWork,
    UnitOfWork,
)
from service.domain.errors import DomainError
from service.domain.events import SessionEvent

Result = Outcome | DomainError


@dataclass(frozen=True, slots=True)
class Attempt:
    """`written`: the events of each command that has some, by the id of its first event."""

    results: Mapping[PendingCommand, Result]
    written: Mapping[UUID, tuple[SessionEvent, ...]]


class GroupRunner:
    """Each command gets the outcome that it would have if the group's commands ran one by one."""

    def __init__(
        self,
        run_unit_of_work: RunUnitOfWork,
        clock: Clock,
        new_id: NewId,
        observe: ObserveCommands = ignore_commands,
    ) -> None:
        self._run_unit_of_work = run_unit_of_work
        self._clock = clock
        self._new_id = new_id
        self._observe = observe

    async def run(self, group: list[PendingCommand]) -> list[PendingCommand]:
        """Answers what it can; returns the commands to retry. Raises nothing."""
        try:
            return await self._transact(group)
        except (DependencyUnavailable, Overloaded) as exc:
            for pending in group:
                pending.refuse(exc)
            return [pending for pending in group if pending.retried]
        except TransactionFailed as exc:
            for pending in group:
                pending.isolate = pending.isolate or exc.blames_one
            return group
        except Exception as exc:  # noqa: BLE001  each command meets its own error when it is alone
            if len(group) == 1:
                group[0].settle(exc)
                self._note_unresolved(group[0])
                return []
            for pending in group:
                pending.isolate = True
            return group

    def expire(self, pending: PendingCommand) -> None:
        pending.expire()
        self._note_unresolved(pending)

    def _note_unresolved(self, pending: PendingCommand) -> None:
        if pending.uncertain_events:
            self._tell(ObservedCommands(resolutions=(Resolution.UNRESOLVED,)))

    def _tell(self, observed: ObservedCommands) -> None:
        """By the loop, so that an observer that raises does not take the group with it."""
        asyncio.get_running_loop().call_soon(self._observe, observed)

    async def _transact(self, group: list[PendingCommand]) -> list[PendingCommand]:
        users = frozenset(pending.command.user_id for pending in group)
        attempt = await self._run_unit_of_work(users, lambda work: self._execute(work, group))
        for pending, result in attempt.results.items():
            pending.settle(result)
        skipped = [pending for pending in group if pending not in attempt.results]
        for pending in skipped:
            pending.isolate = False  # it waits for another transaction, and is not to blame
        self._tell(_observed(attempt, len(skipped)))
        return skipped

    def _execute(self, work: UnitOfWork, group: list[PendingCommand]) -> Attempt:
        loaded = work.load([pending.load_request for pending in group])
        working_set = WorkingSet.of(loaded, at=self._clock(), new_id=self._new_id)
        results = _apply(working_set, dict(zip(group, loaded, strict=True)))
        attempt = Attempt(results, _events(working_set.applied))
        if working_set.applied:
            work.save(working_set.applied)
            _end(work.commit, attempt)
        elif any(isinstance(each, Outcome) for each in results.values()):
            _end(work.confirm, attempt)
        return attempt


def _apply(
    working_set: WorkingSet, loaded: Mapping[PendingCommand, LoadedCommand]
) -> dict[PendingCommand, Result]:
    """Skips the commands that must wait for another transaction."""
    results: dict[PendingCommand, Result] = {}
    for pending, each in loaded.items():
        if each.is_committed and pending.uncertain_outcome:
            results[pending] = pending.uncertain_outcome
        elif not each.must_wait:
            try:
                results[pending] = working_set.apply(pending.command, pending.event_id)
            except DomainError as refusal:
                results[pending] = refusal
    return results


def _events(applied: Sequence[AppliedCommand]) -> dict[UUID, tuple[SessionEvent, ...]]:
    return {each.events[0][0]: tuple(event for _, event in each.events) for each in applied}


def _end(end: Callable[[], None], attempt: Attempt) -> None:
    """A replay is uncertain too: the command that it repeats may be one of the same group."""
    try:
        end()
    except CommitUnknown:
        for pending, result in attempt.results.items():
            if isinstance(result, Outcome):
                pending.uncertain_outcome = result
                pending.uncertain_events = attempt.written.get(
                    pending.event_id, pending.uncertain_events
                )
        raise


def _observed(attempt: Attempt, skipped: int) -> ObservedCommands:
    """A command that is settled now knows what became of its earlier attempt."""
    events: list[SessionEvent] = []
    resolutions: list[Resolution] = []
    for pending, result in attempt.results.items():
        was_committed = result is pending.uncertain_outcome
        written = attempt.written.get(pending.event_id, ())
        events += pending.uncertain_events if was_committed else written
        if pending.uncertain_events:
            resolutions.append(Resolution.COMMITTED if was_committed else Resolution.ROLLED_BACK)
    return ObservedCommands(events=tuple(events), skipped=skipped, resolutions=tuple(resolutions))
