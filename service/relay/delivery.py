"""Events on their way to the broker: all at once, or sessions side by side, each one's in order."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.application.outbox import OutboxEvent
from service.relay.errors import BrokerUnavailable, EventRefused

TOGETHER_MIN = 30
"""Fewer cost less one by one: the broker makes and removes a file for each batch."""

TOGETHER_MAX = 1000
"""More the broker does not take by default."""


class Publisher(Protocol):
    """Raises BrokerUnavailable."""

    async def publish(self, event: OutboxEvent) -> bool:
        """Whether the stream had the event already. Raises EventRefused."""

    async def publish_together(self, events: Sequence[OutboxEvent]) -> bool:
        """Whether the stream stored all of them, in this order, or else none."""


MayGoOn = Callable[[], bool]


@dataclass(slots=True)
class Delivery:
    """What became of a batch; what is in none of the lists was not sent, or not acknowledged.

    `held_back`: events whose session has an earlier one that was refused.
    """

    published: list[OutboxEvent] = field(default_factory=list)
    duplicates: list[OutboxEvent] = field(default_factory=list)
    refused: list[tuple[OutboxEvent, str]] = field(default_factory=list)
    held_back: list[OutboxEvent] = field(default_factory=list)
    outage: BrokerUnavailable | None = None

    @property
    def acknowledged(self) -> list[OutboxEvent]:
        return self.published + self.duplicates

    def is_complete(self, events: Sequence[OutboxEvent]) -> bool:
        """Whether it is known of all of them what became of them."""
        return len(self.acknowledged + self.held_back) + len(self.refused) == len(events)


async def deliver(
    events: Sequence[OutboxEvent], publisher: Publisher, *, in_flight: int, may_go_on: MayGoOn
) -> Delivery:
    """Sends an event behind the one before it in its session, in one batch with it or once that
    has been acknowledged.

    So whoever else publishes the same events at the same time, none gets ahead of an earlier one.
    Sends nothing more once the broker has failed, or `may_go_on` says no.
    """
    work = _Work(events, publisher, may_go_on)
    if not await work.done_together():
        await work.run(in_flight)
    return work.delivery


def _by_session(events: Iterable[OutboxEvent]) -> list[list[OutboxEvent]]:
    chains: dict[object, list[OutboxEvent]] = {}
    for event in events:
        chains.setdefault(event.session_key, []).append(event)
    return list(chains.values())


class _Work:
    def __init__(
        self, events: Sequence[OutboxEvent], publisher: Publisher, may_go_on: MayGoOn
    ) -> None:
        self._events = events
        self._publisher = publisher
        self._may_go_on = may_go_on
        self.delivery = Delivery()

    async def done_together(self) -> bool:
        """Whether nothing is left to be done."""
        if not TOGETHER_MIN <= len(self._events) <= TOGETHER_MAX or not self._may_go_on():
            return False
        try:
            stored = await self._publisher.publish_together(self._events)
        except BrokerUnavailable as exc:
            self.delivery.outage = exc
            return True
        if stored:
            self.delivery.published.extend(self._events)
        return stored

    async def run(self, in_flight: int) -> None:
        """With workers, each of which takes the next session when it is done with one."""
        chains = _by_session(self._events)
        left = iter(chains)
        workers = min(in_flight, len(chains))
        await asyncio.gather(*(self._publish_chains(left) for _ in range(workers)))

    async def _publish_chains(self, chains: Iterable[Sequence[OutboxEvent]]) -> None:
        for chain in chains:
            await self._publish_chain(chain)

    async def _publish_chain(self, chain: Sequence[OutboxEvent]) -> None:
        delivery = self.delivery
        for place, event in enumerate(chain):
            if delivery.outage or not self._may_go_on():
                return
            try:
                was_there = await self._publisher.publish(event)
            except BrokerUnavailable as exc:
                delivery.outage = exc
                return
            except EventRefused as exc:
                delivery.refused.append((event, str(exc)))
                delivery.held_back.extend(chain[place + 1 :])
                return
            (delivery.duplicates if was_there else delivery.published).append(event)
