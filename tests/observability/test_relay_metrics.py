# SPDX-License-Identifier: MIT
"""The metrics of a relay, as Prometheus reads them."""

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.application.outbox import Backlog
from service.observability import catalogue
from service.observability.exposition import SnapshotCollector, metrics_page, new_registry
from service.observability.relay_metrics import RelayMetrics
from service.relay.health import Health
from service.relay.observing import ObservedTurn, RelayState
from tests.builders import MORNING
from tests.system.processes import ROOT

LIMIT = 30.0
QUEUE = {
    "training_relay_pending_events",
    "training_relay_parked_events",
    "training_relay_oldest_event_timestamp_seconds",
}


class Observed:
    """A relay's health and metrics, which are told of its turns."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.health = Health(LIMIT, lambda: self.seconds)
        self.metrics = RelayMetrics(self.health)
        self.page = metrics_page(
            new_registry(SnapshotCollector(catalogue.RELAY, self.metrics.snapshot))
        )

    def turn(self, state: str = "active", **facts: Any) -> None:
        leads = facts.pop("leads", state == "active")
        observed = ObservedTurn(state=RelayState(state), leads=leads, **facts)
        self.health.observe(observed)
        self.metrics.observe(observed)

    def scrape(self) -> dict[str, float]:
        """Values by name, with the label that is not `le`."""
        return {
            sample.name + "".join(f" {each}" for each in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(self.page().body.decode())
            for sample in family.samples
        }


@pytest.fixture
def relay() -> Observed:
    return Observed()


def a_backlog(pending: int = 7) -> Backlog:
    return Backlog(pending=pending, parked=2, oldest_at=MORNING)


def test_a_relay_has_no_state_and_no_queue_before_its_first_turn(relay: Observed) -> None:
    found = relay.scrape()

    assert [found[f"training_relay_state {state}"] for state in RelayState] == [0, 0, 0, 0]
    assert found["training_ready"] == found["training_relay_leader"] == 0
    assert found["training_relay_published_events_total"] == 0
    assert not QUEUE & found.keys()


def test_the_leader_shows_its_queue(relay: Observed) -> None:
    relay.turn(pending=7, oldest_at=MORNING, backlog=a_backlog())
    found = relay.scrape()

    assert found["training_ready"] == found["training_relay_leader"] == 1
    assert found["training_relay_pending_events"] == 7
    assert found["training_relay_parked_events"] == 2
    assert found["training_relay_oldest_event_timestamp_seconds"] == MORNING.timestamp()


def test_the_queue_keeps_its_last_count_until_the_next(relay: Observed) -> None:
    relay.turn(pending=7000, oldest_at=MORNING, backlog=a_backlog(pending=7000))
    relay.turn(pending=None, oldest_at=MORNING)
    assert relay.scrape()["training_relay_pending_events"] == 7000

    relay.turn(pending=0)

    found = relay.scrape()
    assert found["training_relay_pending_events"] == 0
    assert found["training_relay_parked_events"] == 2
    assert "training_relay_oldest_event_timestamp_seconds" not in found


def test_the_page_lists_every_metric_of_the_relay() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    section = page.partition("\n## Relay\n")[2].partition("\n## ")[0]
    listed = dict(re.findall(r"(?m)^\| `(training_\w+)` \| (\w+) \|", section))

    assert listed == {each.name: each.kind.value for each in catalogue.RELAY}


@pytest.mark.parametrize("state", ["standby", "database unavailable", "broker unavailable"])
def test_a_relay_that_no_longer_leads_shows_no_queue(relay: Observed, state: str) -> None:
    relay.turn(pending=7, oldest_at=MORNING, backlog=a_backlog())
    relay.turn(state)
    found = relay.scrape()

    assert found["training_relay_leader"] == 0
    assert not QUEUE & found.keys()

    relay.turn(pending=None, oldest_at=MORNING)

    assert QUEUE & relay.scrape().keys() == {"training_relay_oldest_event_timestamp_seconds"}


def test_a_relay_that_would_lead_shows_its_queue_while_the_broker_is_away(relay: Observed) -> None:
    relay.turn("broker unavailable", leads=True, pending=7, oldest_at=MORNING, backlog=a_backlog())
    found = relay.scrape()

    assert (found["training_ready"], found["training_relay_leader"]) == (0, 0)
    assert found["training_relay_state broker unavailable"] == 1
    assert found["training_relay_pending_events"] == 7


def test_a_relay_that_is_stuck_shows_no_state_and_no_queue(relay: Observed) -> None:
    """Another one has taken over, for the database ends the leadership of a silent relay."""
    relay.turn(pending=7, oldest_at=MORNING, backlog=a_backlog())
    relay.seconds += LIMIT
    found = relay.scrape()

    assert [found[f"training_relay_state {state}"] for state in RelayState] == [0, 0, 0, 0]
    assert found["training_ready"] == found["training_relay_leader"] == 0
    assert not QUEUE & found.keys()


def test_counts_what_turns_did(relay: Observed) -> None:
    for _ in range(2):
        relay.turn(published=3, duplicates=2, parked=4, conflicts=1)
    found = relay.scrape()

    kinds = ("published", "duplicate", "parked", "conflicting")
    assert [found[f"training_relay_{kind}_events_total"] for kind in kinds] == [6, 4, 8, 2]


def test_measures_turns_that_found_events_and_every_event(relay: Observed) -> None:
    relay.turn(seconds=0.001)
    relay.turn(seconds=0.03, taken=3, seconds_to_ack=[0.02, 0.025, 400])
    found = relay.scrape()

    turns = "training_relay_turn_duration_seconds"
    assert (found[f"{turns}_count"], found[f"{turns}_sum"]) == (1, 0.03)
    assert (found[f"{turns}_bucket 0.025"], found[f"{turns}_bucket 0.05"]) == (0, 1)
    acks = "training_relay_commit_to_ack_seconds"
    buckets = [found[f"{acks}_bucket {bound}"] for bound in ("0.01", "0.025", "300.0", "+Inf")]
    assert buckets == [0, 2, 2, 3]
    assert (found[f"{acks}_count"], found[f"{acks}_sum"]) == (3, 400.045)


def test_a_sum_does_not_go_down_if_the_clocks_of_two_machines_differ(relay: Observed) -> None:
    relay.turn(seconds_to_ack=[-0.5, 1.5])
    found = relay.scrape()

    acks = "training_relay_commit_to_ack_seconds"
    assert (found[f"{acks}_bucket 0.005"], found[f"{acks}_sum"]) == (1, 1.5)
