# SPDX-License-Identifier: MIT
"""Requests that arrive while every slot is busy leave together, in one group.

A slot runs one group at a time; there are `groups_in_flight` of them. A request that finds a free
slot starts at once, alone. Only while all slots are busy do requests wait, in order. Between two
groups, a slot lets the queue grow. What a group could not answer is retried by one task, so that no
request waits for its neighbour's retry.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from math import inf
from typing import Generic

from service.application.errors import Overloaded
from service.application.group_commit.gathering import let_grow
from service.application.group_commit.pending import (
    GroupMetrics,
    ObserveGroup,
    P,
    Pending,
    RunGroup,
    WrapGroups,
    ignore_group,
    leave_unwrapped,
)
from service.application.group_commit.taking import fills_group, take_group
from service.application.group_commit.user_queues import UserQueues

RETRY_PAUSE_SECONDS = 0.005
RETRY_PAUSE_MAX_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLimits:
    """Times in seconds. `timeout`: a request that is so old is neither begun nor retried.

    `resolve_timeout`: how much longer a request is retried whose COMMIT may have happened.
    `user_queue_max`: most waiting requests of one user; None for as many as the queue takes.
    `group_weight_max`: most rows that a group may read beyond the first of each of its reads.
    """

    groups_in_flight: int
    group_size_max: int
    queue_max: int
    timeout: float
    resolve_timeout: float = 0
    user_queue_max: int | None = None
    group_weight_max: float = inf


class Scheduler(Generic[P]):
    """Runs requests in groups.

    `run_group` answers what it can, returns the requests to retry, and raises nothing. `expire`
    answers a request whose time is over. `observe` is told of every group, retries included. `wrap`
    adds to `run_group` what is not its business.
    """

    def __init__(
        self,
        run_group: RunGroup[P],
        limits: SchedulerLimits,
        observe: ObserveGroup = ignore_group,
        *,
        expire: Callable[[P], None] = Pending.expire,
        wrap: WrapGroups = leave_unwrapped,
    ) -> None:
        self._run_group = wrap(run_group)
        self._expire = expire
        self._limits = limits
        self._idle_slots = limits.groups_in_flight
        self._observe = observe
        self._queue: deque[P] = deque()
        self._user_queues = UserQueues(limits.user_queue_max)
        self.require_user_room = self._user_queues.require_room
        self._expiry: asyncio.TimerHandle | None = None
        self._retries: list[P] = []
        self._is_retrying = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many requests wait for their first attempt or for another one."""
        return len(self._queue) + len(self._retries)

    def require_room(self) -> None:
        """Raises Overloaded, as `submit` would; callers may ask before they read a request."""
        if self._is_closed or self.waiting >= self._limits.queue_max:
            raise Overloaded

    def submit(self, pending: P) -> None:
        """Raises Overloaded and TooManyRequests."""
        self.require_room()
        self.require_user_room(pending.user_id)
        self._queue.append(pending)
        self._user_queues.add(pending.user_id)
        self._fill_slots()

    async def close(self) -> None:
        """Accepts no more requests, and returns when every accepted one has its answer."""
        self._is_closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _fill_slots(self) -> None:
        while self._idle_slots and self._queue:
            group = self._take_group(self._queue)
            for pending in group:
                self._user_queues.remove(pending.user_id)
            self._idle_slots -= 1
            self._start_task(self._run_in_slot(group))
        self._schedule_expiry()

    def _take_group(self, requests: deque[P]) -> list[P]:
        return take_group(requests, self._limits.group_size_max, self._limits.group_weight_max)

    def _is_group_full(self) -> bool:
        limits = self._limits
        return fills_group(self._queue, limits.group_size_max, limits.group_weight_max)

    def _start_task(self, work: Coroutine[None, None, None]) -> None:
        """In a task of its own, so that a caller that goes away does not cancel the group."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _schedule_expiry(self) -> None:
        """The queue is in order of expiry, so one timer for its head is enough."""
        if self._expiry is None and self._queue:
            expires = self._queue[0].arrived + self._limits.timeout
            self._expiry = asyncio.get_running_loop().call_at(expires, self._expire_queued)

    def _expire_queued(self) -> None:
        self._expiry = None
        now = asyncio.get_running_loop().time()
        while self._queue and self._queue[0].arrived + self._limits.timeout <= now:
            self._user_queues.remove(self._queue[0].user_id)
            self._expire(self._queue.popleft())
        self._schedule_expiry()

    async def _run_in_slot(self, group: list[P]) -> None:
        try:
            self._retry(await self._attempt(group))
            await let_grow(self._queue, self._is_group_full)
        finally:
            self._idle_slots += 1
            self._fill_slots()

    async def _attempt(self, group: list[P]) -> list[P]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for pending in group:
            pending.begun = started
        waits = tuple(started - pending.arrived for pending in group if not pending.retried)
        to_retry = await self._run_group(group)
        for pending in to_retry:
            pending.retried = True
        metrics = GroupMetrics(waits, loop.time() - started, len(group) - len(waits))
        # Called by the loop, so that an observer that raises does not take the group with it.
        loop.call_soon(self._observe, metrics)
        return to_retry

    def _retry(self, to_retry: list[P]) -> None:
        self._set_retries(self._retries + to_retry)
        if self._retries and not self._is_retrying:
            self._is_retrying = True
            self._start_task(self._retry_until_answered())

    async def _retry_until_answered(self) -> None:
        pause = RETRY_PAUSE_SECONDS
        while self._expire_retries():
            await asyncio.sleep(pause)
            before = len(self._retries)
            for candidates in self._split(self._retries):
                self._expire_retries()
                waiting = set(self._retries)
                group = [pending for pending in candidates if pending in waiting]
                to_retry = await self._attempt(group) if group else []
                done = set(group)
                others = [each for each in self._retries if each not in done]
                self._set_retries(others + to_retry)
            progress = len(self._retries) < before
            pause = RETRY_PAUSE_SECONDS if progress else min(2 * pause, RETRY_PAUSE_MAX_SECONDS)
        self._is_retrying = False

    def _expire_retries(self) -> bool:
        """Answers retries whose time is over; returns whether any are left."""
        now = asyncio.get_running_loop().time()
        waiting = []
        for pending in self._retries:
            if self._expires_at(pending) > now:
                waiting.append(pending)
            else:
                self._expire(pending)
        self._set_retries(waiting)
        return bool(waiting)

    def _set_retries(self, retries: list[P]) -> None:
        """A retry waits until it is answered, also during its attempts."""
        for pending in self._retries:
            self._user_queues.remove(pending.user_id)
        for pending in retries:
            self._user_queues.add(pending.user_id)
        self._retries = retries

    def _expires_at(self, pending: P) -> float:
        extra = self._limits.resolve_timeout if pending.may_have_committed else 0
        return pending.arrived + self._limits.timeout + extra

    def _split(self, retries: list[P]) -> list[list[P]]:
        """Groups of at most the size of a group; a request to isolate is a group of its own."""
        together = deque(pending for pending in retries if not pending.isolate)
        groups = []
        while together:
            groups.append(self._take_group(together))
        return groups + [[pending] for pending in retries if pending.isolate]
