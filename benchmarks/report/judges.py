# SPDX-License-Identifier: MIT
"""Judges of targets that are no ratio of two measurements."""

import math
import operator
from dataclasses import replace
from statistics import median

from benchmarks.contenders.catalogue import SERVICE
from benchmarks.plan import BASE
from benchmarks.report.verdicts import Verdict, middle, rate, tail
from benchmarks.results import Results

MANY_CONNECTIONS = replace(BASE, connections=1000)
RECOVERY_MAX_SECONDS = 2
FLOOD_MAX_RATIO = 2
OLDEST_EVENT_MAX_SECONDS = 1
RELAY_LOSS_MAX = 0.1
METRICS_LOSS_MAX = 0.03
TAIL_MAX_RATIO = 3
STALL_MAX = 0.01
"""Share of the time."""

MEMORY_MAX_MIB = 120
LONG_SECONDS = 600
GROWTH_MAX = 0.05
"""From the second quarter of the load to the last: less growth counts as flat."""


def many_connections(results: Results) -> Verdict | None:
    of_base = results.spread(SERVICE, BASE, rate)
    many = results.of(SERVICE, MANY_CONNECTIONS)
    if of_base is None or not many:
        return None
    errors = sum(each.errors for each in many)
    kept = median(map(rate, many)) / of_base.median
    return Verdict(f"{errors} errors, {100 * kept:.0f} %", errors == 0 and kept >= 0.9)  # noqa: PLR2004  the target


def recovery(results: Results) -> Verdict | None:
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


def flood(results: Results) -> Verdict | None:
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


def oldest_event(results: Results) -> Verdict | None:
    ages = [age for each in results.relayed for age in each.ages]
    if not ages:
        return None
    return Verdict(f"{max(ages):.2f} s at most", max(ages) < OLDEST_EVENT_MAX_SECONDS)


def cost_of_relay(results: Results) -> Verdict | None:
    rates = {(each.round, each.with_relay): each.requests_per_second for each in results.relayed}
    rounds = {round_ for round_, _ in rates if {(round_, False), (round_, True)} <= rates.keys()}
    if not rounds:
        return None
    loss = 1 - median(rates[each, True] / rates[each, False] for each in rounds)
    return Verdict(f"{100 * loss:.0f} %", loss <= RELAY_LOSS_MAX)


def cost_of_metrics(results: Results) -> Verdict | None:
    ratios = [ratio for each in results.metered for ratio in each.ratios]
    if not ratios:
        return None
    loss = 1 - median(ratios)
    return Verdict(f"{100 * loss:.1f} %", loss < METRICS_LOSS_MAX)


def memory(results: Results) -> Verdict | None:
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


def tail_without_stalls(results: Results) -> Verdict | None:
    """Leaves out the rounds in which stalls of the disk took more than 1 % of the time.

    A shorter stall delays fewer requests than those above the 99th percentile.
    """
    rounds = results.of(SERVICE, BASE)
    if not rounds:
        return None
    stall_max = STALL_MAX * results.conditions["duration"]
    quiet = [each for each in rounds if each.stalled <= stall_max]
    ratio = median(map(tail, quiet or rounds)) / median(map(middle, quiet or rounds))
    words = f"{ratio:.1f} ×"
    if len(quiet) < len(rounds):
        words += f", {len(rounds) - len(quiet)} of {len(rounds)} rounds had a disk stall"
    return Verdict(words, ratio <= TAIL_MAX_RATIO if quiet else None)
