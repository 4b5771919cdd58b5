# SPDX-License-Identifier: MIT
"""Writes results as a page with tables and plots, also from earlier results."""

from collections.abc import Iterator
from pathlib import Path
from string import Template

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.plan import APP, BASE, LIVES, READS, REREADS
from benchmarks.relaying import SAMPLE_SECONDS
from benchmarks.report import curves, outcomes, plots
from benchmarks.report.canvas import STYLE, save
from benchmarks.report.tables import NONE, contenders, sweep, table
from benchmarks.report.targets import TARGETS
from benchmarks.report.verdicts import rate, tail
from benchmarks.results import Results

PAGE = Template(Path(__file__).with_name("page.md").read_text())
REACHED = {True: "yes", False: "no", None: NONE}


def write(results: Results, page: Path) -> None:
    _draw(results, page.with_suffix(""))
    page.write_text(
        PAGE.substitute(
            targets=_targets(results),
            app=contenders(results, APP),
            base=contenders(results, BASE),
            lives=contenders(results, LIVES),
            reads=contenders(results, READS),
            rereads=contenders(results, REREADS),
            connections=sweep(results, "connections", rate),
            tails=sweep(results, "connections", tail, "{:,.1f}"),
            rows=sweep(results, "rows", rate),
            algorithms=sweep(results, "algorithm", rate),
            recovery=outcomes.recovery(results, page.stem),
            flood=outcomes.flood(results),
            relay=outcomes.relay(results, page.stem),
            metrics=outcomes.metrics(results),
            memory=outcomes.memory(results, page.stem),
            machine=table(("", ""), results.machine.items(), alignment="---"),
            settings=table(("", ""), results.settings.items(), alignment="---"),
            commands="\n".join(f"$ {command}" for command in results.commands),
            duration=results.conditions["duration"],
            warm_up=results.conditions["warm_up"],
            rounds=results.rounds,
            notes="\n\n".join(results.notes),
            plots=page.stem,
        )
    )


def _draw(results: Results, directory: Path) -> None:
    """Replaces the plots of an earlier page, which may have shown a part that this one lacks."""
    directory.mkdir(parents=True, exist_ok=True)
    for earlier in directory.glob("*.svg"):
        earlier.unlink()
    with mpl.rc_context(STYLE):
        for name, figure in _figures(results):
            save(figure, directory / f"{name}.svg")


def _figures(results: Results) -> Iterator[tuple[str, Figure]]:
    yield "throughput", plots.throughput(results)
    yield "latency", plots.latency(results)
    yield "kinds", plots.kinds(results)
    if results.recoveries:
        yield "recovery", curves.recovery(results.recoveries)
    if results.relayed:
        yield "relay", curves.relay(results.relayed, SAMPLE_SECONDS)
    if results.soak:
        yield "memory", curves.memory(results.soak)


def _targets(results: Results) -> str:
    heads = ("target", "must reach", "measured", "reached")
    rows = []
    for target in TARGETS:
        verdict = target.judge(results)
        measured = verdict.measured if verdict else NONE
        reached = REACHED[verdict.reached if verdict else None]
        rows.append((target.against, target.wanted, measured, reached))
    return table(heads, rows, alignment="---")
