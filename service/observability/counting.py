# SPDX-License-Identifier: MIT
"""Counts in plain dictionaries: an event loop counts, and any thread may read.

Reading copies a dictionary or a list at once, which no other thread can interrupt.
"""

from bisect import bisect_left

from service.observability.families import Family, Labels, Samples


class Counter:
    """`known`: values of the labels that are there from the beginning, with 0."""

    def __init__(self, family: Family, *known: str) -> None:
        self.family = family
        self._cells: dict[Labels, list[float]] = {(each,): [0.0] for each in known}
        if not family.labels:
            self._cells[()] = [0.0]

    def cell(self, *labels: str) -> list[float]:
        """A list of one number, to keep and to add to where that happens often."""
        return self._cells.setdefault(labels, [0.0])

    def add(self, *labels: str, number: float = 1) -> None:
        self.cell(*labels)[0] += number

    def samples(self) -> Samples:
        return {labels: list(cell) for labels, cell in list(self._cells.items())}


class Distribution:
    """The values of a histogram with the same labels."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0.0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def value(self) -> list[float]:
        return [*self._counts, self._sum]


class Histogram:
    def __init__(self, family: Family, *known: str) -> None:
        self.family = family
        self._by_labels: dict[Labels, Distribution] = {}
        for each in known:
            self.distribution(each)

    def distribution(self, *labels: str) -> Distribution:
        """The one with these labels, to keep where it is used often."""
        if labels not in self._by_labels:
            self._by_labels[labels] = Distribution(self.family.bounds)
        return self._by_labels[labels]

    def samples(self) -> Samples:
        return {labels: each.value() for labels, each in list(self._by_labels.items())}
