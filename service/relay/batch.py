"""The rows of the queue that one turn is about, and where each goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.application.outbox import EventToPark, OutboxEvent, QueuedEvent
from service.relay.delivery import Delivery

GONE = "the event is not there any more"
WAITS = "it waits for an earlier event of its session"


@dataclass(frozen=True, slots=True)
class Batch:
    queued: Sequence[QueuedEvent]

    @property
    def events(self) -> list[OutboxEvent]:
        """Those that may be published."""
        return [each.event for each in self.queued if each.event and not each.is_blocked]

    def positions(self, events: Sequence[OutboxEvent]) -> list[int]:
        by_id = self._by_id()
        return [by_id[event.id].position for event in events]

    def to_park(self, delivery: Delivery) -> list[EventToPark]:
        """What the broker refused, what comes behind it in its session, and what is gone.

        A later event never overtakes an earlier one of its session, not even a parked one.
        """
        by_id = self._by_id()
        refused = [(by_id[event.id], reason) for event, reason in delivery.refused]
        behind = [(by_id[event.id], WAITS) for event in delivery.held_back]
        behind += [(each, WAITS) for each in self.queued if each.event and each.is_blocked]
        gone = [(each, GONE) for each in self.queued if not each.event]
        return [EventToPark(queued=each, reason=reason) for each, reason in refused + behind + gone]

    def _by_id(self) -> dict[UUID, QueuedEvent]:
        return {each.event_id: each for each in self.queued}
