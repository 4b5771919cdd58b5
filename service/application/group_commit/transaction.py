"""One group of commands in one transaction: load, apply, save, commit, answer."""

from collections.abc import Mapping

from service.application.errors import (
    CommitUnknown,
    DependencyUnavailable,
    Overloaded,
    TransactionFailed,
)
from service.application.group_commit.pending import PendingCommand
from service.application.group_commit.working_set import WorkingSet
from service.application.ports import (
    Clock,
    LoadedCommand,
    NewId,
    Outcome,
    RunUnitOfWork,
    UnitOfWork,
)
from service.domain.errors import DomainError

Result = Outcome | DomainError


class GroupRunner:
    """Each command gets the outcome that it would have if the group's commands ran one by one."""

    def __init__(self, run_unit_of_work: RunUnitOfWork, clock: Clock, new_id: NewId) -> None:
        self._run_unit_of_work = run_unit_of_work
        self._clock = clock
        self._new_id = new_id

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
                return []
            for pending in group:
                pending.isolate = True
            return group

    async def _transact(self, group: list[PendingCommand]) -> list[PendingCommand]:
        users = frozenset(pending.command.user_id for pending in group)
        results = await self._run_unit_of_work(users, lambda work: self._execute(work, group))
        for pending, result in results.items():
            pending.settle(result)
        skipped = [pending for pending in group if pending not in results]
        for pending in skipped:
            pending.isolate = False  # it waits for another transaction, and is not to blame
        return skipped

    def _execute(
        self, work: UnitOfWork, group: list[PendingCommand]
    ) -> dict[PendingCommand, Result]:
        loaded = work.load([pending.load_request for pending in group])
        working_set = WorkingSet.of(loaded, at=self._clock(), new_id=self._new_id)
        results = _apply(working_set, dict(zip(group, loaded, strict=True)))
        if working_set.applied:
            work.save(working_set.applied)
            _commit(work, results)
        return results


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


def _commit(work: UnitOfWork, results: Mapping[PendingCommand, Result]) -> None:
    """A replay is uncertain too: the command that it repeats may be one of the same group."""
    try:
        work.commit()
    except CommitUnknown:
        for pending, result in results.items():
            if isinstance(result, Outcome):
                pending.uncertain_outcome = result
        raise
