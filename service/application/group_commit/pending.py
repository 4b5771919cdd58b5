# SPDX-License-Identifier: MIT
"""Requests that wait for their group, each with the future that its caller awaits."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from service.application.command import Command
from service.application.errors import DependencyUnavailable, Overloaded
from service.application.ports import LoadRequest, Outcome, Read
from service.domain.events import SessionEvent

T = TypeVar("T")


@dataclass(slots=True)
class RequestTimes:
    """Seconds: the wait until the group began that answered, and the time until its answer.

    0 for a request that no group took.
    """

    queue: float = 0
    group: float = 0


@dataclass(eq=False, kw_only=True)
class Pending(ABC, Generic[T]):
    """A request that was accepted; compared by identity.

    `arrived`, `begun`: seconds of the event loop's clock; `begun` is when the last attempt began,
    None before the first. `retried`: an earlier attempt failed. `isolate`:
    the next attempt needs a group of its own, because this request may be why its group failed.
    `refusal`: why a transaction could not begin or go on, last time; the answer if time runs out.
    `traceparent`: the trace that the request belongs to, if any (W3C Trace Context).
    """

    answer: asyncio.Future[T] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    arrived: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    begun: float | None = None
    retried: bool = False
    isolate: bool = False
    refusal: DependencyUnavailable | Overloaded | None = None
    traceparent: str | None = None

    @property
    @abstractmethod
    def user_id(self) -> UUID: ...

    @property
    def weight(self) -> int:
        """What it takes of `SchedulerLimits.group_weight_max`."""
        return 0

    @property
    def may_have_committed(self) -> bool:
        return False

    async def timed_answer(self, times: RequestTimes | None) -> T:
        """The answer, also if it is an error; the times are written to `times`."""
        if times is None:
            return await self.answer
        try:
            return await self.answer
        finally:
            now = asyncio.get_running_loop().time()
            begun = now if self.begun is None else self.begun
            times.queue, times.group = begun - self.arrived, now - begun

    def settle(self, result: T | Exception) -> None:
        """Answers the caller, unless the caller has gone or has its answer already."""
        if self.answer.done():
            return
        if isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)

    def refuse(self, refusal: DependencyUnavailable | Overloaded) -> None:
        """Answers a first attempt; a retry may still succeed until it expires."""
        self.refusal = refusal.copy()
        if not self.retried:
            self.settle(self.refusal)

    def expire(self) -> None:
        if self.may_have_committed:
            self.settle(DependencyUnavailable("database"))
        else:
            self.settle(self.refusal or Overloaded())


@dataclass(eq=False, kw_only=True)
class PendingCommand(Pending[Outcome]):
    """`event_id` is the id of the command's first event, the same in every attempt.

    `uncertain_outcome`: the outcome of an attempt whose COMMIT may or may not have happened. All
    attempts write the same event id, so a later one can commit only if the earlier ones were
    rolled back: one outcome is enough. `uncertain_events`: what that attempt wrote; none if it
    repeated another command.
    """

    command: Command
    event_id: UUID
    uncertain_outcome: Outcome | None = None
    uncertain_events: tuple[SessionEvent, ...] = ()

    @property
    def user_id(self) -> UUID:
        return self.command.user_id

    @property
    def may_have_committed(self) -> bool:
        return self.uncertain_outcome is not None

    @property
    def load_request(self) -> LoadRequest:
        uncertain_event = self.event_id if self.may_have_committed else None
        return LoadRequest(command=self.command, uncertain_event=uncertain_event)


@dataclass(eq=False, kw_only=True)
class PendingRead(Pending[Any]):
    """The answer is as `SessionReader` gives it."""

    request: Read

    @property
    def user_id(self) -> UUID:
        return self.request.user_id

    @property
    def weight(self) -> int:
        """The rows that it may give beyond its first: none for a single session."""
        return self.request.rows_max - 1


@dataclass(frozen=True, slots=True)
class GroupMetrics:
    """A group that has run. Times in seconds.

    `waits`: in the queue, of each request that was attempted for the first time. `retries`: the
    number of the others. `duration`: of the run.
    """

    waits: tuple[float, ...]
    duration: float
    retries: int = 0

    @property
    def size(self) -> int:
        return len(self.waits) + self.retries


ObserveGroup = Callable[[GroupMetrics], None]


def ignore_group(_metrics: GroupMetrics) -> None:
    pass


P = TypeVar("P", bound=Pending[Any])

RunGroup = Callable[[list[P]], Awaitable[list[P]]]
"""Answers what it can, returns the requests to retry, and raises nothing."""


class WrapGroups(Protocol):
    def __call__(self, run: RunGroup[P], /) -> RunGroup[P]:
        """The function that runs each group instead of `run`, and calls it."""


def leave_unwrapped(run: RunGroup[P]) -> RunGroup[P]:
    return run
