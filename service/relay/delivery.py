"""A batch of events on its way to the broker: sessions side by side, each one's in order."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from service.application.outbox import RecordedEvent
from service.relay.errors import BrokerUnavailable, EventRefused

Publish = Callable[[RecordedEvent], Awaitable[bool]]
"""Whether the stream had the event already. Raises EventRefused and BrokerUnavailable."""

MayGoOn = Callable[[], bool]


@dataclass(slots=True)
class Delivery:
    """What became of a batch; what is in none of the lists was not sent, or not acknowledged.

    `held_back`: events whose session has an earlier one that was refused.
    """

    published: list[RecordedEvent] = field(default_factory=list)
    duplicates: list[RecordedEvent] = field(default_factory=list)
    refused: list[tuple[RecordedEvent, str]] = field(default_factory=list)
    held_back: list[RecordedEvent] = field(default_factory=list)
    outage: BrokerUnavailable | None = None

    @property
    def acknowledged(self) -> list[RecordedEvent]:
        return self.published + self.duplicates

    def is_complete(self, events: Sequence[RecordedEvent]) -> bool:
        """Whether it is known of all of them what became of them."""
        return len(self.acknowledged + self.held_back) + len(self.refused) == len(events)


async def deliver(
    events: Iterable[RecordedEvent], publish: Publish, *, in_flight: int, may_go_on: MayGoOn
) -> Delivery:
    """Sends an event only when the one before it in its session has been acknowledged.

    So whoever else publishes the same events at the same time, none gets ahead of an earlier one.
    Sends nothing more once the broker has failed, or `may_go_on` says no.
    """
    chains = _by_session(events)
    work = _Work(iter(chains), publish, may_go_on)
    await asyncio.gather(*(work.run() for _ in range(min(in_flight, len(chains)))))
    return work.delivery


def _by_session(events: Iterable[RecordedEvent]) -> list[list[RecordedEvent]]:
    chains: dict[object, list[RecordedEvent]] = {}
    for event in events:
        chains.setdefault(event.session_key, []).append(event)
    return list(chains.values())


class _Work:
    """Shared by workers, each of which takes the next session when it is done with one."""

    def __init__(
        self, chains: Iterable[Sequence[RecordedEvent]], publish: Publish, may_go_on: MayGoOn
    ) -> None:
        self._chains = chains
        self._publish = publish
        self._may_go_on = may_go_on
        self.delivery = Delivery()

    async def run(self) -> None:
        for chain in self._chains:
            await self._publish_chain(chain)

    async def _publish_chain(self, chain: Sequence[RecordedEvent]) -> None:
        delivery = self.delivery
        for place, event in enumerate(chain):
            if delivery.outage or not self._may_go_on():
                return
            try:
                was_there = await self._publish(event)
            except BrokerUnavailable as exc:
                delivery.outage = exc
                return
            except EventRefused as exc:
                delivery.refused.append((event, str(exc)))
                delivery.held_back.extend(chain[place + 1 :])
                return
            (delivery.duplicates if was_there else delivery.published).append(event)
