# SPDX-License-Identifier: MIT
"""An outbox and a broker in memory, which a test can break, and the relay between them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from service.application.outbox import Backlog, EventToPark, OutboxEvent, QueuedEvent
from service.relay.errors import BrokerUnavailable
from service.relay.observing import ObservedTurn
from service.relay.pace import Pace
from service.relay.relay import Relay
from tests.builders import MORNING
from tests.relay.publishing import an_outbox_event

PACE = Pace(batch_size=20, in_flight=4, poll_min=0.05, poll_max=0.25, lease=1.0)


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class InMemoryOutbox:
    """`outage` is raised by every transaction that begins. `leads`: no other relay does.

    `is_free`: no operator's command has its turn. `silent` keeps renewals without an answer.
    `turns` and `leaderships` are the times at which they began, and `counted` the backlog's.
    `pages` are the history, and `asked` what a replay asked for.
    """

    queue: list[QueuedEvent] = field(default_factory=list)
    parked: list[EventToPark] = field(default_factory=list)
    outage: Exception | None = None
    leads: bool = True
    is_free: bool = True
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    leaderships: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    renewals: list[float] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)
    pages: list[list[OutboxEvent]] = field(default_factory=list)
    asked: tuple[datetime, int] | None = None
    commits: int = 0
    committed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    def add(self, number: int = 1) -> list[OutboxEvent]:
        events = [an_outbox_event(uuid4()) for _ in range(number)]
        for event in events:
            self.enqueue(event)
        return events

    def enqueue(self, event: OutboxEvent | None, *, is_blocked: bool = False) -> None:
        place = len(self.queue) + 1
        owner, event_id = (event.user_id, event.id) if event else (uuid4(), uuid4())
        self.queue.append(QueuedEvent(place, owner, event_id, event, is_blocked))

    @asynccontextmanager
    async def leadership(self) -> AsyncIterator["InMemoryTurn | None"]:
        self.leaderships.append(now())
        if self.outage:
            raise self.outage
        yield InMemoryTurn(self) if self.leads else None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["InMemoryTurn | None"]:
        self.turns.append(now())
        if self.outage:
            raise self.outage
        yield InMemoryTurn(self) if self.is_free else None

    async def backlog(self) -> Backlog:
        self.counted.append(now())
        head = self.queue[0].event if self.queue else None
        return Backlog(
            pending=len(self.queue),
            parked=len(self.parked),
            oldest_at=head.occurred_at if head else None,
        )


@dataclass
class InMemoryTurn:
    outbox: InMemoryOutbox
    removed: set[int] = field(default_factory=set)
    to_park: list[EventToPark] = field(default_factory=list)

    async def renew(self) -> None:
        self.outbox.renewals.append(now())
        await self.outbox.answers.wait()

    async def oldest(self, limit: int) -> Sequence[QueuedEvent]:
        return self.outbox.queue[:limit]

    async def remove(self, positions: Sequence[int]) -> None:
        self.removed |= set(positions)

    async def park(self, parked: Sequence[EventToPark]) -> None:
        self.to_park += parked

    async def backlog(self) -> Backlog:
        return await self.outbox.backlog()

    async def commit(self) -> None:
        self.outbox.commits += 1
        self.outbox.committed.set()
        left = self.removed | {each.queued.position for each in self.to_park}
        self.outbox.queue = [each for each in self.outbox.queue if each.position not in left]
        self.outbox.parked += self.to_park

    async def count(self, _since: datetime) -> int:
        return sum(len(page) for page in self.outbox.pages)

    async def history(
        self, since: datetime, page_size: int
    ) -> AsyncIterator[Sequence[OutboxEvent]]:
        self.outbox.asked = since, page_size
        for page in self.outbox.pages:
            yield page

    async def retry_parked(self) -> int:
        raise NotImplementedError


@dataclass
class InMemoryBroker:
    """`down` is raised by every call. `checks` are the times at which the stream was looked at.

    `fault` is raised by a check of the stream. `before` runs before each answer.
    """

    down: BrokerUnavailable | None = None
    fault: Exception | None = None
    refuses: dict[UUID, Exception] = field(default_factory=dict)
    knows: list[OutboxEvent] = field(default_factory=list)
    published: list[OutboxEvent] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def require_connection(self) -> None:
        if self.down:
            raise self.down

    async def require_stream(self) -> None:
        self.checks.append(now())
        if failure := self.down or self.fault:
            raise failure

    async def publish(self, event: OutboxEvent) -> bool:
        self.before()
        if self.down:
            raise self.down
        if refusal := self.refuses.get(event.id):
            raise refusal
        self.published.append(event)
        return event in self.knows

    async def publish_atomically(self, _events: Sequence[OutboxEvent]) -> bool:
        return False


@dataclass
class World:
    """A relay between an outbox and a broker, and the turns and steps that it reported."""

    outbox: InMemoryOutbox = field(default_factory=InMemoryOutbox)
    broker: InMemoryBroker = field(default_factory=InMemoryBroker)
    observed: list[ObservedTurn] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    clock: Callable[[], datetime] = lambda: MORNING

    def relay(self, pace: Pace = PACE) -> Relay:
        return Relay(
            self.outbox.leadership,
            self.outbox.turn,
            self.outbox.backlog,
            self.broker,
            self.broker.require_stream,
            clock=self.clock,
            pace=pace,
            observe=self.observed.append,
            step=lambda: self.steps.append(now()),
        )

    def running(self, pace: Pace = PACE) -> AbstractAsyncContextManager[Relay]:
        return _running(self.relay(pace))


@asynccontextmanager
async def _running(relay: Relay) -> AsyncIterator[Relay]:
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        relay.stop()
        with suppress(asyncio.CancelledError):
            await task
