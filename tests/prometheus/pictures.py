# SPDX-License-Identifier: MIT
"""Draws a dashboard with matplotlib, panel by panel in the places that Grafana gives them."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from tests.prometheus.recorded import SCRAPE_SECONDS, Recorded

COLOURS = {
    "green": "#4f9e4f", "orange": "#e08a1e", "red": "#d0404f", "blue": "#4a7fc1", "text": "#8a8f98",
}  # fmt: skip
COLUMNS, INCH_OF_COLUMN, INCH_OF_ROW = 24, 0.75, 0.32
LEGEND_MAX = 6
MARGIN = 0.035
"""Room for the values left of a panel, as a part of the figure."""


def draw(dashboard: dict[str, Any], recorded: list[Recorded], path: Path) -> None:
    rows = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in dashboard["panels"])
    figure = Figure(figsize=(COLUMNS * INCH_OF_COLUMN, rows * INCH_OF_ROW), dpi=75)
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            left, bottom, _, height = _place(panel, rows)
            figure.text(left, bottom + height / 2, panel["title"], weight="bold", va="center")
    for each in recorded:
        left, bottom, width, height = _place(each.panel, rows)
        axes = figure.add_axes(
            (left + MARGIN, bottom + 0.14 * height, width - 1.3 * MARGIN, 0.72 * height)
        )
        axes.set_title(each.panel["title"], fontsize=9, loc="left")
        DRAWING[each.panel["type"]](axes, each)
    figure.savefig(path, metadata={"Software": None})


def _place(panel: dict[str, Any], rows: int) -> tuple[float, float, float, float]:
    """Left, bottom, width, height, as parts of the figure."""
    grid = panel["gridPos"]
    bottom = rows - grid["y"] - grid["h"]
    return grid["x"] / COLUMNS, bottom / rows, grid["w"] / COLUMNS, grid["h"] / rows


def _stat(axes: Axes, recorded: Recorded) -> None:
    defaults = recorded.panel["fieldConfig"]["defaults"]
    values = [line.values[-1] for line in recorded.lines if line.values]
    text = _text(values[0], defaults) if values else "No data"
    axes.set_facecolor(_colour(values[0], defaults) if values else COLOURS["text"])
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=20, color="white")
    axes.set_xticks([])
    axes.set_yticks([])


def _text(value: float, defaults: dict[str, Any]) -> str:
    return _mapping(value, defaults).get("text") or _formatted(value, defaults.get("unit", ""))


def _formatted(value: float, unit: str) -> str:
    match unit:
        case "percentunit":
            return f"{100 * value:.4g} %"
        case "s":
            return f"{value:.3g} s" if value >= 1 or value == 0 else f"{1000 * value:.3g} ms"
        case "bytes":
            return f"{value / 2**20:.0f} MiB"
        case "reqps" | "ops":
            return f"{value:.3g}/s"
        case _:
            return f"{value:.4g}"


def _mapping(value: float, defaults: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for mapping in defaults.get("mappings", []):
        found |= mapping["options"].get(f"{value:g}", {})
    return found


def _colour(value: float, defaults: dict[str, Any]) -> str:
    named = _mapping(value, defaults).get("color")
    steps = [
        step["color"]
        for step in defaults["thresholds"]["steps"]
        if step["value"] is None or value >= step["value"]
    ]
    return COLOURS[named or steps[-1]]


def _series(axes: Axes, recorded: Recorded) -> None:
    defaults = recorded.panel["fieldConfig"]["defaults"]
    is_stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    below: dict[float, float] = {}
    for line in recorded.lines:
        tops = [
            value + below.get(time, 0) for time, value in zip(line.times, line.values, strict=True)
        ]
        axes.plot(line.times, tops, label=line.label, linewidth=1)
        if is_stacked:
            axes.fill_between(
                line.times, [below.get(time, 0) for time in line.times], tops, alpha=0.3
            )
            below |= dict(zip(line.times, tops, strict=True))
    _thresholds(axes, defaults)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _place: _formatted(value, defaults["unit"]))
    )
    _minutes(axes, recorded.seconds)
    if 0 < len(recorded.lines) <= LEGEND_MAX:
        axes.legend(fontsize=7, loc="upper left", frameon=False)


def _thresholds(axes: Axes, defaults: dict[str, Any]) -> None:
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is not None:
            axes.axhline(step["value"], color=COLOURS["red"], linewidth=0.8, linestyle="--")


def _timeline(axes: Axes, recorded: Recorded) -> None:
    defaults = recorded.panel["fieldConfig"]["defaults"]
    for place, line in enumerate(recorded.lines):
        for time, value in zip(line.times, line.values, strict=True):
            colour = _colour(value, defaults)
            axes.barh(place, SCRAPE_SECONDS, left=time, height=0.8, color=colour)
        axes.text(0, place, f" {line.label}", fontsize=8, va="center")
    axes.set_yticks([])
    _minutes(axes, recorded.seconds)


def _minutes(axes: Axes, seconds: float) -> None:
    axes.set_xlim(0, seconds)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_locator(MultipleLocator(60))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value / 60:g} min"))


DRAWING = {"stat": _stat, "timeseries": _series, "state-timeline": _timeline}
