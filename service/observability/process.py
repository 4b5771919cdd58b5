# SPDX-License-Identifier: MIT
"""What the operating system tells of this process, where there is /proc."""

from prometheus_client import ProcessCollector

from service.observability import catalogue
from service.observability.families import Snapshot

_collector = ProcessCollector(registry=None)
_NAMES = {family.name for family in catalogue.PROCESS}


def process_snapshot() -> Snapshot:
    samples = [sample for metric in _collector.collect() for sample in metric.samples]
    return {sample.name: {(): [sample.value]} for sample in samples if sample.name in _NAMES}
