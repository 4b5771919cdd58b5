"""The pictures of the report, as SVG that is the same for the same results."""

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.plan import BASE
from benchmarks.results import Results
from benchmarks.targets import rate

STYLE: Any = {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 10}
COLOURS = dict(
    zip(
        CONTENDERS,
        ("#0b6e4f", "#c1666b", "#d4a017", "#4a6fa5", "#555555", "#9bc53d"),
        strict=True,
    )
)
PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}


def draw(results: Results, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        _save(_throughput(results), directory / "throughput.svg")
        _save(_latency(results), directory / "latency.svg")
        if results.soak:
            _save(_memory(results), directory / "memory.svg")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None})
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n")


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _throughput(results: Results) -> Figure:
    figure, axes = _axes("Throughput: median, least and most", "connections", "requests/s")
    scenarios = [each for each in results.scenarios if replace(each, connections=64) == BASE]
    for name, contender in CONTENDERS.items():
        found = [(each, results.spread(name, each, rate)) for each in scenarios]
        points = [(each.connections, spread) for each, spread in found if spread]
        if points:
            axes.errorbar(
                [connections for connections, _ in points],
                [spread.median for _, spread in points],
                yerr=[
                    [spread.median - spread.least for _, spread in points],
                    [spread.most - spread.median for _, spread in points],
                ],
                label=contender.title,
                color=COLOURS[name],
                marker="o",
                capsize=3,
            )
    _logarithmic(axes, [each.connections for each in scenarios])
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _logarithmic(axes: Axes, ticks: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(ticks))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.0f}"))


def _latency(results: Results) -> Figure:
    title = f"Latency at {BASE.connections} connections: medians of the rounds"
    figure, axes = _axes(title, "percentile", "ms")
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
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _memory(results: Results) -> Figure:
    assert results.soak  # noqa: S101  asked for only where there is one
    figure, axes = _axes("Memory of the largest worker under load", "minutes", "MiB resident")
    samples = results.soak.resident
    minutes = [results.soak.interval * (number + 1) / 60 for number in range(len(samples))]
    axes.plot(minutes, samples, color=COLOURS["service"])
    axes.set_ylim(bottom=0)
    return figure
