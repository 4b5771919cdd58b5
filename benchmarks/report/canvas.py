# SPDX-License-Identifier: MIT
"""Common parts of the plots: SVG that is identical for identical results."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.contenders.catalogue import CONTENDERS

STYLE: Any = {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 10}
COLOURS = dict(
    zip(
        CONTENDERS,
        ("#0b6e4f", "#c1666b", "#d4a017", "#4a6fa5", "#00a6d6", "#555555", "#9bc53d", "#8d6a9f"),
        strict=True,
    )
)


def axes_for(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def legend(figure: Figure) -> None:
    if any(axes.get_legend_handles_labels()[0] for axes in figure.axes):
        figure.legend(loc="outside right upper", frameon=False, fontsize="small")


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None})
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n")
