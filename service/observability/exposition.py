"""The text of /metrics, with what every process tells of itself."""

import platform
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector

from service import __version__
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
