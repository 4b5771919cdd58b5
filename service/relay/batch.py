# SPDX-License-Identifier: MIT
"""The rows that a turn read from the queue: which to publish, to remove, to park."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.application.outbox import EventKey, EventToPark, OutboxEvent, QueuedEvent
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
        by_key = self._by_key()
        return [by_key[event.key].position for event in events]

    def to_park(self, delivery: Delivery) -> list[EventToPark]:
        """Refused and conflicting events, later events of their sessions, and deleted events.

        A later event never overtakes an earlier one of its session, not even a parked one.
        """
        by_key = self._by_key()
        refused = [(by_key[event.key], reason) for event, reason in delivery.refused]
        refused += [(by_key[event.key], str(exc)) for event, exc in delivery.conflicts]
        blocked = [(by_key[event.key], BLOCKED) for event in delivery.blocked]
        blocked += [(each, BLOCKED) for each in self.queued if each.event and each.is_blocked]
        gone = [(each, GONE) for each in self.queued if not each.event]
        return [
            EventToPark(queued=each, reason=reason) for each, reason in refused + blocked + gone
        ]

    def _by_key(self) -> dict[EventKey, QueuedEvent]:
        return {(each.user_id, each.event_id): each for each in self.queued}
