# SPDX-License-Identifier: MIT
"""The targets of this service, and whether it reached them."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.contenders.catalogue import ASYNCPG, BARE, CEILING, FASTAPI, FLOOR, SERVICE
from benchmarks.plan import BASE, LIVES, READS, Scenario
from benchmarks.results import Measurement, Results

ONE_CONNECTION = replace(BASE, connections=1)
MANY_CONNECTIONS = replace(BASE, connections=1000)
LARGE_TABLES = replace(BASE, rows=10_000_000)
RECOVERY_MAX_SECONDS = 2
FLOOD_MAX_RATIO = 2
OLDEST_EVENT_MAX_SECONDS = 1
RELAY_LOSS_MAX = 0.1
METRICS_LOSS_MAX = 0.03
MEMORY_MAX_MIB = 120
LONG_SECONDS = 600
GROWTH_MAX = 0.05
"""From the second quarter of the load to the last: less growth counts as flat."""


@dataclass(frozen=True)
class Verdict:
    """`reached` is None if too little was measured to say."""

    measured: str
    reached: bool | None


@dataclass(frozen=True)
class Target:
    against: str
    wanted: str
    judge: Callable[[Results], Verdict | None]


def rate(measured: Measurement) -> float:
    return measured.requests_per_second


def middle(measured: Measurement) -> float:
    return measured.p50


def tail(measured: Measurement) -> float:
    return measured.p99


IN_TENTHS, IN_HUNDREDTHS, IN_PERCENT = "{:.1f} ×", "{:.2f} ×", "{1:.0f} %"

Of = tuple[str, Scenario, Callable[[Measurement], float]]


def _ratio(
    this: Of, that: Of, *, at_least: float = 0, at_most: float = math.inf, form: str = IN_TENTHS
) -> Callable[[Results], Verdict | None]:
    def judge(results: Results) -> Verdict | None:
        ours, theirs = results.spread(*this), results.spread(*that)
        if ours is None or theirs is None or not theirs.median:
            return None
        ratio = ours.median / theirs.median
        return Verdict(form.format(ratio, 100 * ratio), at_least <= ratio <= at_most)

    return judge


def _against_bare(results: Results) -> Verdict | None:
    """The HTTP path without a database."""
    return _ratio((CEILING, BASE, rate), (BARE, BASE, rate), at_least=0.6, form=IN_PERCENT)(results)


def _many_connections(results: Results) -> Verdict | None:
    of_base = results.spread(SERVICE, BASE, rate)
    many = results.of(SERVICE, MANY_CONNECTIONS)
    if of_base is None or not many:
        return None
    errors = sum(each.errors for each in many)
    kept = median(map(rate, many)) / of_base.median
    return Verdict(f"{errors} errors, {100 * kept:.0f} %", errors == 0 and kept >= 0.9)  # noqa: PLR2004  the target


def _recovery(results: Results) -> Verdict | None:
    """Judges the slowest round; every answer must be 200 or 503."""
    if not results.recoveries:
        return None
    times = [math.inf if each.seconds is None else each.seconds for each in results.recoveries]
    clean = not any(
        each.broken or each.answers.keys() - {"200", "503"} for each in results.recoveries
    )
    words = f"{max(times):.2f} s at most" if max(times) < math.inf else "not back"
    reached = max(times) <= RECOVERY_MAX_SECONDS and clean
    return Verdict(words if clean else f"{words}, other answers than 200 and 503", reached)


def _flood(results: Results) -> Verdict | None:
    """Judges the median of the rounds; the others must get no refusal."""
    if not results.floods:
        return None
    ratio = median(each.during / each.usual for each in results.floods)
    refused = sum(
        count
        for each in results.floods
        for status, count in each.answers_of_others.items()
        if status != "200"
    )
    reached = ratio <= FLOOD_MAX_RATIO and not refused
    return Verdict(f"{ratio:.2f} ×, {refused} refusals", reached)


def _oldest_event(results: Results) -> Verdict | None:
    ages = [age for each in results.relayed for age in each.ages]
    if not ages:
        return None
    return Verdict(f"{max(ages):.2f} s at most", max(ages) < OLDEST_EVENT_MAX_SECONDS)


def _cost_of_relay(results: Results) -> Verdict | None:
    rates = {(each.round, each.with_relay): each.requests_per_second for each in results.relayed}
    rounds = {round_ for round_, _ in rates if {(round_, False), (round_, True)} <= rates.keys()}
    if not rounds:
        return None
    loss = 1 - median(rates[each, True] / rates[each, False] for each in rounds)
    return Verdict(f"{100 * loss:.0f} %", loss <= RELAY_LOSS_MAX)


def _cost_of_metrics(results: Results) -> Verdict | None:
    ratios = [ratio for each in results.metered for ratio in each.ratios]
    if not ratios:
        return None
    loss = 1 - median(ratios)
    return Verdict(f"{100 * loss:.1f} %", loss < METRICS_LOSS_MAX)


def _memory(results: Results) -> Verdict | None:
    resident = results.spread(SERVICE, BASE, operator.attrgetter("resident"))
    if resident is None:
        return None
    small = resident.most < MEMORY_MAX_MIB
    soak = results.soak
    if soak is None or soak.seconds < LONG_SECONDS - soak.interval:
        return Verdict(f"{resident.median:.0f} MiB; not measured for long", reached=None)
    quarter = len(soak.resident) // 4
    before, after = soak.resident[quarter : 2 * quarter], soak.resident[-quarter:]
    growth = median(after) / median(before) - 1
    small = small and max(soak.resident) < MEMORY_MAX_MIB
    minutes = soak.seconds / 60
    words = (
        f"{max(soak.resident):.0f} MiB at most, {100 * growth:+.1f} % over {minutes:.0f} minutes"
    )
    return Verdict(words, small and growth < GROWTH_MAX)


def _throughput(
    against: str,
    wanted: str,
    contender: str,
    at_least: float,
    form: str = IN_TENTHS,
    *,
    scenario: Scenario = BASE,
) -> Target:
    this, that = (SERVICE, scenario, rate), (contender, scenario, rate)
    return Target(against, wanted, _ratio(this, that, at_least=at_least, form=form))


TARGETS = (
    _throughput("`pgbench`, one transaction per command", "1.0 ×", FLOOR, 1, IN_HUNDREDTHS),
    _throughput("Starlette + asyncpg by hand", "2.0 ×", ASYNCPG, 2, IN_HUNDREDTHS),
    _throughput("FastAPI + ORM", "7 × its throughput", FASTAPI, 7),
    Target(
        "latency at 1 connection, against asyncpg by hand",
        "at most 1.7 × its median",
        _ratio(
            (SERVICE, ONE_CONNECTION, middle),
            (ASYNCPG, ONE_CONNECTION, middle),
            at_most=1.7,
            form=IN_HUNDREDTHS,
        ),
    ),
    _throughput(
        "whole lives: Starlette + asyncpg by hand",
        "2.5 ×",
        ASYNCPG,
        2.5,
        IN_HUNDREDTHS,
        scenario=LIVES,
    ),
    _throughput(
        "reads: Starlette + asyncpg by hand", "1.6 ×", ASYNCPG, 1.6, IN_HUNDREDTHS, scenario=READS
    ),
    _throughput("reads: own HTTP ceiling", "65 % of it", CEILING, 0.65, IN_PERCENT, scenario=READS),
    Target(
        "the HTTP path without a database: bare Starlette",
        "60 % of its throughput",
        _against_bare,
    ),
    Target(
        "p99 at 64 connections",
        "at most 4 × the median",
        _ratio((SERVICE, BASE, tail), (SERVICE, BASE, middle), at_most=4),
    ),
    Target(
        "1,000 connections",
        "no errors, at least 90 % of the throughput at 64",
        _many_connections,
    ),
    Target(
        "10^7 rows against 10^4",
        "at least 85 % of the throughput",
        _ratio(
            (SERVICE, LARGE_TABLES, rate), (SERVICE, BASE, rate), at_least=0.85, form=IN_PERCENT
        ),
    ),
    Target(
        "a database that stood still and goes on",
        "throughput is back within 2 s; only 200 and 503 are answered",
        _recovery,
    ),
    Target(
        "5,000 commands of one user at once: the median of 50 others",
        "at most 2 × as usual, no refusal",
        _flood,
    ),
    Target("the relay: age of the oldest event", "under 1 s", _oldest_event),
    Target("the relay: throughput that it costs", "at most 10 %", _cost_of_relay),
    Target("metrics: throughput that they cost", "under 3 %", _cost_of_metrics),
    Target("memory per worker", "under 120 MiB, flat over 10 minutes of load", _memory),
)
