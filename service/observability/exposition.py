# SPDX-License-Identifier: MIT
"""The text of /metrics, with what every process tells of itself."""

import platform
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service import __version__
from service.observability.families import Family, Kind, Samples, Snapshot
from service.observability.server import Page


def new_registry(*collectors: Collector) -> CollectorRegistry:
    """A registry with `training_build_info`, `python_info` and these."""
    registry = CollectorRegistry()
    PlatformCollector(registry)
    build = Gauge(
        "training_build_info", "The version that runs.", ["version", "python"], registry=registry
    )
    build.labels(__version__, platform.python_version()).set(1)
    for each in collectors:
        registry.register(each)
    return registry


def metrics_page(registry: CollectorRegistry) -> Callable[[], Page]:
    return lambda: Page(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class SnapshotCollector(Collector):
    """Takes a snapshot for each scrape."""

    def __init__(self, families: Iterable[Family], take: Callable[[], Snapshot]) -> None:
        self._families = tuple(families)
        self._take = take

    def collect(self) -> Iterator[Metric]:
        snapshot = self._take()
        for family in self._families:
            if samples := snapshot.get(family.name):
                yield _metric(family, samples)


def _metric(family: Family, samples: Samples) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        return _histogram(family, samples)
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, [number] in samples.items():
        metric.add_metric(labels, number)
    return metric


def _histogram(family: Family, samples: Samples) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*map(floatToGoString, family.bounds), "+Inf"]
    for labels, [*counts, total] in samples.items():
        metric.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return metric
