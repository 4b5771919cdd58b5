"""A histogram that takes many values at once, for a process whose every event is one."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString


class Buckets:
    """`bounds`: upper bounds, in order; a value beyond the last is counted, too.

    The histogram of `prometheus_client` takes three times as long for a value.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, values: Iterable[float]) -> None:
        """A negative value, of clocks that differ, counts as 0: a sum must not go down."""
        for value in values:
            seconds = max(value, 0.0)
            self._counts[bisect_left(self._bounds, seconds)] += 1
            self._sum += seconds

    def family(self, name: str, meaning: str) -> HistogramMetricFamily:
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=self._sum)
