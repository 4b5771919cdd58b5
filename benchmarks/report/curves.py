# SPDX-License-Identifier: MIT
"""Plots over time: recovery, the age of events, and memory of this service."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.contenders.catalogue import SERVICE
from benchmarks.parts import Recovery, Relayed, Soak
from benchmarks.report.canvas import COLOURS, axes_for


def recovery(rounds: list[Recovery]) -> Figure:
    title = "Throughput when the database stands still and goes on"
    figure, axes = axes_for(title, "seconds since it went on", "successes/s")
    for each in rounds:
        times, rates = zip(*each.curve, strict=True)
        _line(axes, times, rates)
    axes.axvspan(-max(each.stopped for each in rounds), 0, color="#bbbbbb", alpha=0.4)
    return figure


def relay(rounds: list[Relayed], interval: float) -> Figure:
    figure, axes = axes_for("Age of the oldest event not yet published", "seconds", "s")
    for each in rounds:
        _line(axes, [interval * (number + 1) for number in range(len(each.ages))], each.ages)
    return figure


def memory(soak: Soak) -> Figure:
    figure, axes = axes_for("Memory of the largest worker under load", "minutes", "MiB resident")
    minutes = [soak.interval * (number + 1) / 60 for number in range(len(soak.resident))]
    _line(axes, minutes, soak.resident)
    return figure


def _line(
    axes: Axes, x: tuple[float, ...] | list[float], y: tuple[float, ...] | list[float]
) -> None:
    axes.plot(x, y, color=COLOURS[SERVICE], alpha=0.8)
    axes.set_ylim(bottom=0)
