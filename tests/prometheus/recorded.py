# SPDX-License-Identifier: MIT
"""The answers of Prometheus to the queries of a dashboard, for one moment and the time before."""

import math
import re
from dataclasses import dataclass
from typing import Any

from tests.prometheus.expressions import PanelQuery
from tests.prometheus.server import Prometheus, Series

SCRAPE_SECONDS = 5
RATE_INTERVAL = f"{4 * SCRAPE_SECONDS}s"
"""As Grafana has it for this time between scrapes."""


@dataclass(frozen=True)
class Line:
    label: str
    times: list[float]
    values: list[float]


@dataclass(frozen=True)
class Recorded:
    """A panel and what its queries gave in this many seconds."""

    panel: dict[str, Any]
    seconds: float
    lines: list[Line]


async def record(
    prometheus: Prometheus, queries: list[PanelQuery], start: float, end: float
) -> list[Recorded]:
    """The panels of these queries from `start` to `end`; a stat has only the value at `end`."""
    found: dict[int, Recorded] = {}
    for query in queries:
        panel = found.setdefault(query.panel["id"], Recorded(query.panel, end - start, []))
        begin = end if query.panel["type"] == "stat" else start
        answer = await prometheus.query_range(
            query.expression(RATE_INTERVAL), begin, end, SCRAPE_SECONDS
        )
        panel.lines.extend(_line(series, query.target["legendFormat"], start) for series in answer)
    return list(found.values())


def _line(series: Series, legend: str, start: float) -> Line:
    points = [(float(time) - start, float(value)) for time, value in series["values"]]
    known = [(time, value) for time, value in points if math.isfinite(value)]
    label = re.sub(r"{{(\w+)}}", lambda name: series["metric"].get(name[1], ""), legend)
    return Line(label.strip(), [time for time, _ in known], [value for _, value in known])
