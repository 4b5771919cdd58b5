"""The metrics of a relay, from the turns that it reports."""

import threading
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.observability.histogram import Buckets
from service.relay.health import Condition, Health
from service.relay.observing import ObservedTurn, RelayState

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class RelayMetrics(Collector):
    """A relay shows the queue only while it leads: another one knows it better afterwards.

    Without the broker, relays lead for a moment each, and are no leaders, but show the queue.
    Turns come from the event loop, and scrapes from threads.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._lock = threading.Lock()
        self._leads = False
        self._pending: int | None = None
        self._parked: int | None = None
        self._oldest_at: float | None = None
        self._totals = {"published": 0, "duplicate": 0, "parked": 0, "conflicting": 0}
        self._turns = Buckets(SECONDS)
        self._acks = Buckets(SECONDS)

    def observe(self, turn: ObservedTurn) -> None:
        with self._lock:
            self._observe_queue(turn)
            self._totals["published"] += turn.published
            self._totals["duplicate"] += turn.duplicates
            self._totals["parked"] += turn.parked
            self._totals["conflicting"] += turn.conflicts
            self._acks.add(turn.seconds_to_ack)
            if turn.taken and turn.seconds is not None:
                self._turns.add([turn.seconds])

    def collect(self) -> Iterator[Metric]:
        condition = self._health.condition()
        with self._lock:
            yield from self._health_metrics(condition)
            if self._leads and not condition.is_stuck:
                yield from self._queue_metrics()
            yield from self._work_metrics()

    def _observe_queue(self, turn: ObservedTurn) -> None:
        if not turn.leads:
            self._pending = self._parked = None
        elif turn.pending is not None:
            self._pending = turn.pending
        if turn.backlog:
            self._parked = turn.backlog.parked
        self._leads = turn.leads
        self._oldest_at = turn.oldest_at.timestamp() if turn.oldest_at else None

    def _health_metrics(self, condition: Condition) -> Iterator[Metric]:
        is_active = condition.state is RelayState.ACTIVE and condition.is_ready
        leads = self._leads and is_active
        yield _gauge("training_relay_leader", "1 if this relay leads, and can publish.", leads)
        state = GaugeMetricFamily(
            "training_relay_state", "1 for the state of this relay.", labels=["state"]
        )
        for each in RelayState:
            state.add_metric([each], each == condition.state and not condition.is_stuck)
        yield state
        yield _gauge("training_ready", "1 if this process is ready.", condition.is_ready)

    def _queue_metrics(self) -> Iterator[Metric]:
        values = {
            "pending_events": ("Events in the queue.", self._pending),
            "parked_events": ("Events that were taken out of the queue.", self._parked),
            "oldest_event_timestamp_seconds": (
                "Time of the oldest event in the queue; absent if it is empty.",
                self._oldest_at,
            ),
        }
        for name, (meaning, value) in values.items():
            if value is not None:
                yield _gauge(f"training_relay_{name}", meaning, value)

    def _work_metrics(self) -> Iterator[Metric]:
        meanings = {
            "published": "Events that the stream stored.",
            "duplicate": "Events that the stream had already.",
            "parked": "Events taken out of the queue for a reason.",
            "conflicting": "Parked events in whose place the stream has another message.",
        }
        for name, meaning in meanings.items():
            yield CounterMetricFamily(
                f"training_relay_{name}_events", meaning, value=self._totals[name]
            )
        yield self._turns.family(
            "training_relay_turn_duration_seconds", "Turns that found events in the queue."
        )
        yield self._acks.family(
            "training_relay_commit_to_ack_seconds",
            "From the time of an event to the acknowledgement of the broker.",
        )


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)
