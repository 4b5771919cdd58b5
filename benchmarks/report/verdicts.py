# SPDX-License-Identifier: MIT
"""Verdicts on targets: ratios of two measurements."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.parts import Measurement
from benchmarks.plan import Scenario
from benchmarks.results import Results


@dataclass(frozen=True)
class Verdict:
    """`reached` is None if too little was measured to say."""

    measured: str
    reached: bool | None


def rate(measured: Measurement) -> float:
    return measured.requests_per_second


def middle(measured: Measurement) -> float:
    return measured.p50


def tail(measured: Measurement) -> float:
    return measured.p99


IN_TENTHS, IN_HUNDREDTHS, IN_PERCENT = "{:.1f} ×", "{:.2f} ×", "{1:.0f} %"

Of = tuple[str, Scenario, Callable[[Measurement], float]]


def ratio(
    this: Of, that: Of, *, at_least: float = 0, at_most: float = math.inf, form: str = IN_TENTHS
) -> Callable[[Results], Verdict | None]:
    def judge(results: Results) -> Verdict | None:
        ours, theirs = results.spread(*this), results.spread(*that)
        if ours is None or theirs is None or not theirs.median:
            return None
        found = ours.median / theirs.median
        return Verdict(form.format(found, 100 * found), at_least <= found <= at_most)

    return judge
