# SPDX-License-Identifier: MIT
"""Plots of the load: throughput and latency."""

from collections.abc import Sequence
from operator import attrgetter

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.plan import APP, BASE, LIVES, READS, REREADS
from benchmarks.report.canvas import COLOURS, axes_for, legend
from benchmarks.report.verdicts import rate
from benchmarks.results import Results, Spread

PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}
KINDS = {
    "as lived": APP,
    "failing": BASE,
    "whole lives": LIVES,
    "reading": READS,
    "reading, known tokens": REREADS,
}


def throughput(results: Results) -> Figure:
    figure, axes = axes_for("Throughput: median, least and most", "connections", "requests/s")
    scenarios = [each for each in results.scenarios if each.differences() <= {"connections"}]
    for name, contender in CONTENDERS.items():
        found = [(each, results.spread(name, each, rate)) for each in scenarios]
        points = [(each.connections, spread) for each, spread in found if spread]
        if points:
            axes.errorbar(
                [connections for connections, _ in points],
                [spread.median for _, spread in points],
                yerr=_whiskers([spread for _, spread in points]),
                label=contender.title,
                color=COLOURS[name],
                marker="o",
                capsize=3,
            )
    _logarithmic(axes, [each.connections for each in scenarios])
    axes.set_ylim(bottom=0)
    legend(figure)
    return figure


def _whiskers(spreads: Sequence[Spread]) -> list[list[float]]:
    return [
        [each.median - each.least for each in spreads],
        [each.most - each.median for each in spreads],
    ]


def _logarithmic(axes: Axes, ticks: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(ticks))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.0f}"))


def latency(results: Results) -> Figure:
    title = f"Latency at {BASE.connections} connections: medians of the rounds"
    figure, axes = axes_for(title, "percentile", "ms")
    for name, contender in CONTENDERS.items():
        found = [results.spread(name, BASE, attrgetter(each)) for each in PERCENTILES]
        values = [spread.median for spread in found if spread]
        if values:
            axes.plot(
                list(PERCENTILES.values()),
                values,
                label=contender.title,
                color=COLOURS[name],
                marker="o",
            )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    legend(figure)
    return figure


def kinds(results: Results) -> Figure:
    title = f"Throughput at {BASE.connections} connections: median, least and most"
    figure, axes = axes_for(title, "", "requests/s")
    others = [scenario for scenario in KINDS.values() if scenario != BASE]
    names = [name for name in CONTENDERS if any(results.of(name, each) for each in others)]
    width = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        found = [results.spread(name, scenario, rate) for scenario in KINDS.values()]
        points = [(place, spread) for place, spread in enumerate(found) if spread]
        axes.bar(
            [place + (number - (len(names) - 1) / 2) * width for place, _ in points],
            [spread.median for _, spread in points],
            width,
            yerr=_whiskers([spread for _, spread in points]),
            label=CONTENDERS[name].title,
            color=COLOURS[name],
            capsize=3,
        )
    axes.set_xticks(range(len(KINDS)), list(KINDS))
    legend(figure)
    return figure
