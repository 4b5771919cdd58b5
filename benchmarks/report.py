"""Results as a page with tables and plots; it can be made again without measuring."""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from string import Template

from benchmarks import plots
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.plan import BASE, Scenario
from benchmarks.results import Measurement, Results, Spread
from benchmarks.targets import TARGETS, rate, tail

PAGE = Template(Path(__file__).with_name("page.md").read_text())
NONE = "–"
REACHED = {True: "yes", False: "no", None: NONE}


def write(results: Results, page: Path) -> None:
    plots.draw(results, page.with_suffix(""))
    page.write_text(
        PAGE.substitute(
            targets=_targets(results),
            base=_base(results),
            connections=_sweep(results, "connections", rate),
            tails=_sweep(results, "connections", tail, "{:,.1f}"),
            rows=_sweep(results, "rows", rate),
            algorithms=_sweep(results, "algorithm", rate),
            memory=_memory(results),
            machine=_table(("", ""), results.machine.items(), alignment="---"),
            settings=_table(("", ""), results.settings.items(), alignment="---"),
            commands="\n".join(f"$ {command}" for command in results.commands),
            duration=results.conditions["duration"],
            warm_up=results.conditions["warm_up"],
            rounds=results.rounds,
            notes="\n\n".join(results.notes),
            plots=page.stem,
        )
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, alignment: str = "---:") -> str:
    """`alignment` of all columns but the first."""
    lines = (heads, ["---", *[alignment] * (len(heads) - 1)], *rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _targets(results: Results) -> str:
    heads = ("against", "at least", "measured", "reached")
    rows = []
    for target in TARGETS:
        verdict = target.judge(results)
        measured = verdict.measured if verdict else NONE
        reached = REACHED[verdict.reached if verdict else None]
        rows.append((target.against, target.wanted, measured, reached))
    return _table(heads, rows, alignment="---")


def _base(results: Results) -> str:
    heads = (
        "", "requests/s", "this service is", "p50 ms", "p99 ms", "errors",
        "server CPU s per 1,000", "PostgreSQL CPU s per 1,000", "MiB per worker, PSS (RSS)",
    )  # fmt: skip
    return _table(heads, (_base_row(results, name) for name in _present(results, BASE)))


def _base_row(results: Results, name: str) -> tuple[str, ...]:
    def spread(value: Callable[[Measurement], float]) -> Spread:
        return Spread.of(map(value, results.of(name, BASE)))

    ours, theirs = results.spread(SERVICE, BASE, rate), spread(rate)
    proportional, resident = spread(attrgetter("proportional")), spread(attrgetter("resident"))
    return (
        CONTENDERS[name].title,
        _with_range(theirs),
        f"{ours.median / theirs.median:.2f} ×" if ours and name != SERVICE else "",
        _with_range(spread(attrgetter("p50")), "{:,.1f}"),
        _with_range(spread(tail), "{:,.1f}"),
        f"{sum(each.errors for each in results.of(name, BASE)):,}",
        f"{spread(attrgetter('server_cpu')).median:.3f}",
        f"{spread(attrgetter('database_cpu')).median:.3f}",
        f"{proportional.median:.0f} ({resident.median:.0f})" if resident.median else NONE,
    )


def _sweep(
    results: Results, along: str, value: Callable[[Measurement], float], form: str = "{:,.0f}"
) -> str:
    """A row for each contender, a column for each scenario that differs from the base in this."""
    steps = [each for each in results.scenarios if _differs_only_in(each, along)]
    heads = ("", *(_head(getattr(each, along)) for each in steps))
    names = dict.fromkeys(name for each in steps for name in _present(results, each))
    rows = []
    for name in (each for each in CONTENDERS if each in names):
        cells = (_cell(results, name, each, value, form) for each in steps)
        rows.append((CONTENDERS[name].title, *cells))
    return _table(heads, rows)


def _cell(
    results: Results,
    name: str,
    scenario: Scenario,
    value: Callable[[Measurement], float],
    form: str,
) -> str:
    spread = results.spread(name, scenario, value)
    if spread is None:
        return NONE
    errors = sum(each.errors for each in results.of(name, scenario))
    return _with_range(spread, form) + (f", {errors:,} errors" if errors else "")


def _differs_only_in(scenario: Scenario, along: str) -> bool:
    return all(
        getattr(scenario, each) == getattr(BASE, each)
        for each in ("connections", "rows", "algorithm")
        if each != along
    )


def _present(results: Results, scenario: Scenario) -> list[str]:
    return [name for name in CONTENDERS if results.of(name, scenario)]


def _with_range(spread: Spread, form: str = "{:,.0f}") -> str:
    if spread.least == spread.most:
        return form.format(spread.median)
    least, most = form.format(spread.least), form.format(spread.most)
    return f"{form.format(spread.median)} ({least}–{most})"


def _head(step: object) -> str:
    return f"{step:,}" if isinstance(step, int) else str(step)


def _memory(results: Results) -> str:
    soak = results.soak
    if soak is None or not soak.resident:
        return "Not measured for long; `--soak 600` does."
    return (
        f"Under {soak.requests_per_second:,.0f} requests/s for {soak.seconds / 60:.1f} minutes,"
        f" with {soak.errors:,} errors, the largest worker had {soak.resident[0]:.0f} MiB at first,"
        f" {max(soak.resident):.0f} MiB at most and {soak.resident[-1]:.0f} MiB at the end."
        "\n\n![Memory under load](benchmarks/memory.svg)"
    )
