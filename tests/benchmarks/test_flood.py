# SPDX-License-Identifier: MIT
from collections import Counter

import pytest

from benchmarks.flood import Request, summary
from benchmarks.load import LoadFailed
from benchmarks.parts import Flooded

START, END = 100.0, 102.0
FLOOD = Counter({200: 1, 429: 4999})


def a_summary(*others: Request) -> Flooded:
    return summary(1, others, FLOOD, usual_from=96.0, start=START, end=END)


def test_compares_requests_under_way_during_the_flood_with_those_answered_before_it() -> None:
    warm_up = Request(95.9, 97.9, 200)
    before = [Request(97.0, 97.02, 200), Request(99.9, 100.0, 200)]
    during = [Request(99.98, 100.02, 200), Request(101.9, 102.1, 200), Request(100.0, 100.1, 503)]
    after = Request(102.0, 109.0, 200)

    seen = a_summary(warm_up, *before, *during, after)

    assert seen.usual == pytest.approx(60)
    assert seen.during == pytest.approx(100)
    assert (seen.requests, seen.seconds) == (3, 2.0)
    assert seen.answers == {"200": 1, "429": 4999}
    assert seen.answers_of_others == {"200": 4, "503": 1}


@pytest.mark.parametrize("times", [(97.0, 97.1), (101.0, 101.1)], ids=["before", "during"])
def test_fails_if_others_were_answered_at_one_of_the_two_times_alone(
    times: tuple[float, float],
) -> None:
    with pytest.raises(LoadFailed):
        a_summary(Request(*times, 200))
