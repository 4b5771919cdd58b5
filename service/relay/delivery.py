# SPDX-License-Identifier: MIT
"""Publishes events: in one atomic batch, or sessions side by side with each session in order."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.application.outbox import OutboxEvent
from service.relay.errors import BrokerUnavailable, EventConflict, EventRefused

ATOMIC_MIN = 30
"""Fewer events cost less one by one: the broker creates and removes a file for each batch."""

ATOMIC_MAX = 1000
"""The default limit of the broker. More events are published one by one."""


class Publisher(Protocol):
    """Every method raises BrokerUnavailable."""

    async def publish(self, event: OutboxEvent) -> bool:
        """True if the stream had the event already. Raises EventRefused and EventConflict."""

    async def publish_atomically(self, events: Sequence[OutboxEvent]) -> bool:
        """True if the stream stored all events in this order; else it stored none."""


MayGoOn = Callable[[], bool]


@dataclass(slots=True)
class Delivery:
    """The result for each event; an event in no list was not sent or not acknowledged.

    `conflicts`: the stream holds another message in the place of the event.
    `blocked`: an earlier event of the same session was refused, or is in conflict.
    """

    published: list[OutboxEvent] = field(default_factory=list)
    duplicates: list[OutboxEvent] = field(default_factory=list)
    refused: list[tuple[OutboxEvent, str]] = field(default_factory=list)
    conflicts: list[tuple[OutboxEvent, EventConflict]] = field(default_factory=list)
    blocked: list[OutboxEvent] = field(default_factory=list)
    outage: BrokerUnavailable | None = None

    @property
    def acknowledged(self) -> list[OutboxEvent]:
        return self.published + self.duplicates

    def refuse(self, event: OutboxEvent, exc: EventRefused) -> None:
        if isinstance(exc, EventConflict):
            self.conflicts.append((event, exc))
        else:
            self.refused.append((event, str(exc)))

    def is_complete(self, events: Sequence[OutboxEvent]) -> bool:
        """True if the result of every event is known."""
        unpublished = len(self.refused) + len(self.conflicts) + len(self.blocked)
        return len(self.acknowledged) + unpublished == len(events)


async def deliver(
    events: Sequence[OutboxEvent], publisher: Publisher, *, in_flight: int, may_go_on: MayGoOn
) -> Delivery:
    """Publishes the events; stops when the broker fails or `may_go_on` returns False.

    An event is sent in one atomic batch with the earlier events of its session, or after the broker
    has acknowledged them. So none overtakes an earlier one, even if another relay publishes the
    same events.
    """
    run = _DeliveryRun(events, publisher, may_go_on)
    if not await run.try_atomically():
        await run.publish_one_by_one(in_flight)
    return run.delivery


def _by_session(events: Iterable[OutboxEvent]) -> list[list[OutboxEvent]]:
    chains: dict[object, list[OutboxEvent]] = {}
    for event in events:
        chains.setdefault(event.session_key, []).append(event)
    return list(chains.values())


class _DeliveryRun:
    def __init__(
        self, events: Sequence[OutboxEvent], publisher: Publisher, may_go_on: MayGoOn
    ) -> None:
        self._events = events
        self._publisher = publisher
        self._may_go_on = may_go_on
        self.delivery = Delivery()

    async def try_atomically(self) -> bool:
        """True if the events were stored or the broker failed; else publish them one by one."""
        if not ATOMIC_MIN <= len(self._events) <= ATOMIC_MAX or not self._may_go_on():
            return False
        try:
            stored = await self._publisher.publish_atomically(self._events)
        except BrokerUnavailable as exc:
            self.delivery.outage = exc
            return True
        if stored:
            self.delivery.published.extend(self._events)
        return stored

    async def publish_one_by_one(self, in_flight: int) -> None:
        """Each worker publishes the events of one session after another."""
        chains = _by_session(self._events)
        remaining = iter(chains)
        workers = min(in_flight, len(chains))
        await asyncio.gather(*(self._publish_chains(remaining) for _ in range(workers)))

    async def _publish_chains(self, chains: Iterable[Sequence[OutboxEvent]]) -> None:
        for chain in chains:
            await self._publish_chain(chain)

    async def _publish_chain(self, chain: Sequence[OutboxEvent]) -> None:
        delivery = self.delivery
        for place, event in enumerate(chain):
            if delivery.outage or not self._may_go_on():
                return
            try:
                is_duplicate = await self._publisher.publish(event)
            except BrokerUnavailable as exc:
                delivery.outage = exc
                return
            except EventRefused as exc:
                delivery.refuse(event, exc)
                delivery.blocked.extend(chain[place + 1 :])
                return
            (delivery.duplicates if is_duplicate else delivery.published).append(event)
