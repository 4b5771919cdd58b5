# SPDX-License-Identifier: MIT
"""Counts what the observer of a relay is told."""

from dataclasses import dataclass

from service.observability import catalogue
from service.observability.counting import Counter, Histogram
from service.observability.families import Samples, Snapshot
from service.relay.health import Condition, Health
from service.relay.observing import ObservedTurn, RelayState


@dataclass(frozen=True, slots=True)
class _Queue:
    """What the last turn knew. `pending`, `parked`: None if it is not known."""

    pending: int | None
    parked: int | None
    oldest_at: float | None


class RelayMetrics:
    """A relay shows the queue only while it leads: another one knows it better afterwards.

    Without the broker, relays lead for a moment each, and are no leaders, but show the queue.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._queue: _Queue | None = None
        self._published = Counter(catalogue.RELAY_PUBLISHED)
        self._duplicates = Counter(catalogue.RELAY_DUPLICATES)
        self._parked = Counter(catalogue.RELAY_PARKED)
        self._conflicts = Counter(catalogue.RELAY_CONFLICTS)
        self._turns = Histogram(catalogue.RELAY_TURN_DURATION)
        self._acks = Histogram(catalogue.RELAY_COMMIT_TO_ACK)
        self._turn, self._ack = self._turns.distribution(), self._acks.distribution()

    def observe(self, turn: ObservedTurn) -> None:
        self._queue = self._known_queue(turn) if turn.leads else None
        self._published.add(number=turn.published)
        self._duplicates.add(number=turn.duplicates)
        self._parked.add(number=turn.parked)
        self._conflicts.add(number=turn.conflicts)
        for seconds in turn.seconds_to_ack:
            self._ack.observe(max(seconds, 0.0))  # clocks may differ, and a sum must not go down
        if turn.taken and turn.seconds is not None:
            self._turn.observe(turn.seconds)

    def snapshot(self) -> Snapshot:
        recorded = (
            self._published,
            self._duplicates,
            self._parked,
            self._conflicts,
            self._turns,
            self._acks,
        )
        condition, queue = self._health.condition(), self._queue
        found = {each.family.name: each.samples() for each in recorded}
        found |= _health_samples(condition, leads=queue is not None)
        if queue and not condition.is_stuck:
            found |= _queue_samples(queue)
        return found

    def _known_queue(self, turn: ObservedTurn) -> _Queue:
        before = self._queue or _Queue(None, None, None)
        return _Queue(
            before.pending if turn.pending is None else turn.pending,
            turn.backlog.parked if turn.backlog else before.parked,
            turn.oldest_at.timestamp() if turn.oldest_at else None,
        )


def _health_samples(condition: Condition, *, leads: bool) -> Snapshot:
    state = None if condition.is_stuck else condition.state
    return {
        catalogue.RELAY_READY.name: _one(condition.is_ready),
        catalogue.RELAY_LEADER.name: _one(leads and state is RelayState.ACTIVE),
        catalogue.RELAY_STATE.name: {(each,): [float(each is state)] for each in RelayState},
    }


def _queue_samples(queue: _Queue) -> Snapshot:
    values = {
        catalogue.RELAY_PENDING: queue.pending,
        catalogue.RELAY_PARKED_NOW: queue.parked,
        catalogue.RELAY_OLDEST_EVENT: queue.oldest_at,
    }
    return {family.name: _one(value) for family, value in values.items() if value is not None}


def _one(value: float) -> Samples:
    return {(): [float(value)]}
