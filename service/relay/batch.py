"""The rows that a turn read from the queue: which to publish, to remove, to park."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.application.outbox import EventToPark, OutboxEvent, QueuedEvent
from service.relay.delivery import Delivery

GONE = "the event was deleted"
BLOCKED = "an earlier event of its session is parked"


@dataclass(frozen=True, slots=True)
class Batch:
    queued: Sequence[QueuedEvent]

    @property
    def events(self) -> list[OutboxEvent]:
        """The events that may be published."""
        return [each.event for each in self.queued if each.event and not each.is_blocked]

    def positions(self, events: Sequence[OutboxEvent]) -> list[int]:
        by_id = self._by_id()
        return [by_id[event.id].position for event in events]

    def to_park(self, delivery: Delivery) -> list[EventToPark]:
        """Refused events, later events of their sessions, and deleted events.

        A later event never overtakes an earlier one of its session, not even a parked one.
        """
        by_id = self._by_id()
        refused = [(by_id[event.id], reason) for event, reason in delivery.refused]
        blocked = [(by_id[event.id], BLOCKED) for event in delivery.blocked]
        blocked += [(each, BLOCKED) for each in self.queued if each.event and each.is_blocked]
        gone = [(each, GONE) for each in self.queued if not each.event]
        return [
            EventToPark(queued=each, reason=reason) for each, reason in refused + blocked + gone
        ]

    def _by_id(self) -> dict[UUID, QueuedEvent]:
        return {each.event_id: each for each in self.queued}
