# SPDX-License-Identifier: MIT
"""docs/metrics.md lists every metric of the API, as the registry has it."""

import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric

from service.application.group_commit.pending import GroupMetrics
from service.http.observing import KeySetFetch, ObservedRequest
from service.observability.api import KINDS, ApiMetrics
from service.observability.catalogue import API
from service.observability.exposition import SnapshotCollector, new_registry
from service.observability.families import Snapshot
from service.observability.process import process_snapshot
from service.observability.state import ApiState
from service.observability.workers import ONE_WORKER, summed

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"\| `((?:training|process|python)_\w+)` \|.*\|")


def documented(heading: str) -> list[str]:
    section = DOCUMENT.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if ROW.fullmatch(line)]


def rows(metrics: Iterable[Metric]) -> list[str]:
    return [_row(each) for each in metrics]


def _row(metric: Metric) -> str:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    labels = dict.fromkeys(label for each in metric.samples for label in each.labels)
    named = ", ".join(f"`{each}`" for each in labels if each != "le")
    return f"| `{name}` | {metric.type} | {named} | {metric.documentation} |"


def everything_of_an_api() -> Snapshot:
    metrics = ApiMetrics(has_key_set=True)
    metrics.observe_request(ObservedRequest("GET", "/livez", 200, None, 0.001))
    metrics.observe_key_set_fetch(KeySetFetch.OK)
    for kind in KINDS:
        metrics.observe_groups(kind)(GroupMetrics((0.001,), 0.002))
    state = ApiState(
        waiting=dict.fromkeys(KINDS, 0),
        queue_limit=1,
        connections_in_use=0,
        connections_idle=0,
        connections_limit=1,
        connection_waiters=0,
        is_ready=True,
        is_writable=True,
    )
    metrics.watch(lambda: state)
    return summed(metrics.snapshot(), process_snapshot(), ONE_WORKER)


def test_every_metric_of_the_api_is_documented() -> None:
    registry = new_registry(SnapshotCollector(API, everything_of_an_api))

    assert sorted(documented("API")) == sorted(rows(registry.collect()))


def test_no_help_text_is_longer_than_a_line() -> None:
    assert [family.name for family in API if len(family.help) > 100] == []
