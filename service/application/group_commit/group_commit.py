"""Commands that arrive together share one transaction.

A command that finds a free slot starts at once. Only while all slots are busy do commands
wait, first come, first served, and then leave together. What a group cannot settle, because
somebody else was in the way or the transaction failed, is tried again by one task beside the
slots, so that no command suffers for its neighbours.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine

from service.application.commands import Command
from service.application.errors import DependencyUnavailable, Overloaded
from service.application.group_commit.transaction import Groups, Observe, Ticket, ignore
from service.application.group_commit.working_set import Outcome
from service.application.ports import Clock, NewId, OpenUnitOfWork

RETRY_PAUSE_SECONDS = 0.005
RETRY_PAUSE_MAX_SECONDS = 0.1


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
        self._groups = Groups(open_unit_of_work, clock, new_id, observe)
        self._new_id = new_id
        self._idle_slots = groups_in_flight
        self._group_size_max = group_size_max
        self._queue_max = queue_max
        self._timeout = timeout
        self._resolve_timeout = resolve_timeout
        self._queue: deque[Ticket] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._retries: list[Ticket] = []
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
        ticket = Ticket(command, self._new_id(), loop.time(), loop.create_future())
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
            expires = self._queue[0].arrived + self._timeout
            self._expiry = asyncio.get_running_loop().call_at(expires, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = asyncio.get_running_loop().time()
        while self._queue and self._queue[0].arrived + self._timeout <= now:
            self._queue.popleft().settle(Overloaded())
        self._watch_expiry()

    async def _run(self, group: list[Ticket]) -> None:
        try:
            self._retry(await self._groups.attempt(group))
        finally:
            self._idle_slots += 1
            self._start_groups()

    def _retry(self, tickets: list[Ticket]) -> None:
        self._retries += tickets
        if self._retries and not self._retrying:
            self._retrying = True
            self._start(self._retry_until_settled())

    async def _retry_until_settled(self) -> None:
        pause = RETRY_PAUSE_SECONDS
        while self._give_up_on_expired():
            await asyncio.sleep(pause)
            number = len(self._retries)
            for planned in self._groups_of(self._retries):
                self._give_up_on_expired()
                left = set(self._retries)
                group = [ticket for ticket in planned if ticket in left]
                again = await self._groups.attempt(group) if group else []
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
            more_time = self._resolve_timeout if ticket.attempts else 0
            if ticket.arrived + self._timeout + more_time > now:
                left.append(ticket)
            else:
                unknown = DependencyUnavailable("database") if ticket.attempts else None
                ticket.settle(unknown or ticket.refusal or Overloaded())
        self._retries = left
        return bool(left)

    def _groups_of(self, tickets: list[Ticket]) -> list[list[Ticket]]:
        together = [ticket for ticket in tickets if not ticket.alone]
        size = self._group_size_max
        groups = [together[start : start + size] for start in range(0, len(together), size)]
        return groups + [[ticket] for ticket in tickets if ticket.alone]
