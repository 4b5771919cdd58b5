# SPDX-License-Identifier: MIT
from collections.abc import Sequence

import pytest

from benchmarks.load import WINDOW_SECONDS, Window
from benchmarks.recovery import back_after, rate

WENT_ON = 100.0
BEFORE = 4000.0


def windows(
    *successes_per_second: float, status: int = 200, start: float = WENT_ON
) -> list[Window]:
    return [
        Window(start + number * WINDOW_SECONDS, status, round(each * WINDOW_SECONDS))
        for number, each in enumerate(successes_per_second)
    ]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (windows(*[4000] * 40), 0.25),
        (windows(*[0] * 20, *[4000] * 20), 1.25),
        (windows(*[3500] * 40), None),
        (windows(*[4000] * 40, status=503), None),
        ([], None),
    ],
    ids=["at once", "after a second", "never quite", "refusals do not count", "no answers"],
)
def test_throughput_is_back_when_a_quarter_of_a_second_reaches_90_percent_of_it(
    seen: Sequence[Window], expected: float | None
) -> None:
    found = back_after(seen, WENT_ON, BEFORE)
    assert found == (None if expected is None else pytest.approx(expected))


def test_rate_counts_the_windows_that_begin_in_the_interval() -> None:
    seen = windows(1000, 2000, 3000, 4000)
    assert rate(seen, WENT_ON, WENT_ON + 2 * WINDOW_SECONDS - 1e-9) == pytest.approx(1500)
