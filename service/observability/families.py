# SPDX-License-Identifier: MIT
"""Families of metrics, and their values as plain numbers.

prometheus-client has classes for both. They are not used for counting, because a process of its own
answers for several workers: docs/decisions/metrics.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

Labels = tuple[str, ...]

Samples = dict[Labels, list[float]]
"""By the values of the labels: one number; of a histogram, the count in each bucket, and the sum.

The last bucket has no bound. The counts are not cumulative.
"""

Snapshot = dict[str, Samples]
"""The samples of each family, by its name."""


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(Enum):
    """How the values of several workers become one. `OLDEST`: the least of those that are not 0."""

    SUM = "sum"
    LEAST = "least"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`bounds`: of a histogram's buckets, upper and inclusive."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    merge: Merge = Merge.SUM

    def merged(self, values: list[list[float]]) -> list[float]:
        if self.merge is Merge.SUM:
            return [sum(each) for each in zip(*values, strict=True)]
        numbers = [number for [number] in values]
        if self.merge is Merge.OLDEST:
            return [min((number for number in numbers if number), default=0.0)]
        return [min(numbers)]


def merge(families: Iterable[Family], snapshots: Iterable[Snapshot]) -> Snapshot:
    together = list(snapshots)
    return {
        family.name: _merge(family, [each.get(family.name, {}) for each in together])
        for family in families
    }


def _merge(family: Family, parts: list[Samples]) -> Samples:
    by_labels: dict[Labels, list[list[float]]] = {}
    for samples in parts:
        for labels, value in samples.items():
            by_labels.setdefault(labels, []).append(value)
    return {labels: family.merged(values) for labels, values in by_labels.items()}


def cumulative(families: Iterable[Family], snapshot: Snapshot) -> Snapshot:
    """What remains true of a process that has ended: all but its gauges."""
    names = {family.name for family in families if family.kind is not Kind.GAUGE}
    return {name: samples for name, samples in snapshot.items() if name in names}
