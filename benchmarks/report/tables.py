# SPDX-License-Identifier: MIT
"""Tables of the load, in Markdown."""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.parts import Measurement
from benchmarks.plan import Scenario
from benchmarks.report.verdicts import rate, tail
from benchmarks.results import Results, Spread

NONE = "–"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, alignment: str = "---:") -> str:
    """`alignment` applies to all columns except the first."""
    body = list(rows)
    if not body:
        return "Not measured."
    lines = (heads, ["---", *[alignment] * (len(heads) - 1)], *body)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def contenders(results: Results, scenario: Scenario) -> str:
    heads = (
        "", "requests/s", "this service is", "p50 ms", "p99 ms", "errors",
        "server CPU s per 1,000", "PostgreSQL CPU s per 1,000", "load generator CPU s per 1,000",
        "MiB per worker, PSS (RSS)", "slowest write to disk ms",
    )  # fmt: skip
    names = _present(results, scenario)
    return table(heads, (_contender(results, name, scenario) for name in names))


def _contender(results: Results, name: str, scenario: Scenario) -> tuple[str, ...]:
    def spread(value: Callable[[Measurement], float]) -> Spread:
        return Spread.of(map(value, results.of(name, scenario)))

    ours, theirs = results.spread(SERVICE, scenario, rate), spread(rate)
    proportional, resident = spread(attrgetter("proportional")), spread(attrgetter("resident"))
    return (
        CONTENDERS[name].title,
        with_range(theirs),
        f"{ours.median / theirs.median:.2f} ×"
        if ours and theirs.median and name != SERVICE
        else "",
        with_range(spread(attrgetter("p50")), "{:,.1f}"),
        with_range(spread(tail), "{:,.1f}"),
        f"{sum(each.errors for each in results.of(name, scenario)):,}",
        f"{spread(attrgetter('server_cpu')).median:.3f}",
        f"{spread(attrgetter('database_cpu')).median:.3f}",
        f"{spread(attrgetter('generator_cpu')).median:.3f}",
        f"{proportional.median:.0f} ({resident.median:.0f})" if resident.median else NONE,
        with_range(spread(attrgetter("slowest_sync")), "{:,.0f}"),
    )


def sweep(
    results: Results, along: str, value: Callable[[Measurement], float], form: str = "{:,.0f}"
) -> str:
    """A row per contender, and a column per scenario that differs from the base in this field."""
    steps = [each for each in results.scenarios if each.differences() <= {along}]
    heads = ("", *(_head(getattr(each, along)) for each in steps))
    names = dict.fromkeys(name for each in steps for name in _present(results, each))
    rows = []
    for name in (each for each in CONTENDERS if each in names):
        cells = (_cell(results, name, each, value, form) for each in steps)
        rows.append((CONTENDERS[name].title, *cells))
    return table(heads, rows)


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
    return with_range(spread, form) + (f", {errors:,} errors" if errors else "")


def _present(results: Results, scenario: Scenario) -> list[str]:
    return [name for name in CONTENDERS if results.of(name, scenario)]


def with_range(spread: Spread, form: str = "{:,.0f}") -> str:
    if spread.least == spread.most:
        return form.format(spread.median)
    least, most = form.format(spread.least), form.format(spread.most)
    return f"{form.format(spread.median)} ({least}–{most})"


def _head(step: object) -> str:
    return f"{step:,}" if isinstance(step, int) else str(step)
