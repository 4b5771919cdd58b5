# SPDX-License-Identifier: MIT
"""Group commit: commands that arrive together share one transaction."""

from service.application.command import Command
from service.application.group_commit.observing import ObserveCommands, ignore_commands
from service.application.group_commit.pending import (
    ObserveGroup,
    PendingCommand,
    RequestTimes,
    WrapGroups,
    ignore_group,
    leave_unwrapped,
)
from service.application.group_commit.scheduler import Scheduler, SchedulerLimits
from service.application.group_commit.transaction import GroupRunner
from service.application.ports import Clock, NewId, Outcome, RunUnitOfWork


class GroupCommit:
    """Executes commands in groups."""

    def __init__(
        self,
        run_unit_of_work: RunUnitOfWork,
        clock: Clock,
        new_id: NewId,
        limits: SchedulerLimits,
        observe: ObserveGroup = ignore_group,
        *,
        observe_commands: ObserveCommands = ignore_commands,
        wrap: WrapGroups = leave_unwrapped,
    ) -> None:
        self._new_id = new_id
        runner = GroupRunner(run_unit_of_work, clock, new_id, observe_commands)
        self._scheduler: Scheduler[PendingCommand] = Scheduler(
            runner.run, limits, observe, expire=runner.expire, wrap=wrap
        )
        self.require_room = self._scheduler.require_room
        self.require_user_room = self._scheduler.require_user_room
        self.close = self._scheduler.close

    @property
    def waiting(self) -> int:
        return self._scheduler.waiting

    async def execute(self, command: Command, times: RequestTimes | None = None) -> Outcome:
        """The session as committed. A caller that goes away does not cancel the command.

        Raises the domain's refusals, Overloaded and TooManyRequests (the command was certainly not
        executed) and DependencyUnavailable.
        """
        pending = PendingCommand(
            command=command, event_id=self._new_id(), traceparent=command.traceparent
        )
        self._scheduler.submit(pending)
        return await pending.timed_answer(times)
