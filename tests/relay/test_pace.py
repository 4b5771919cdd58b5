# SPDX-License-Identifier: MIT
"""The pause between two turns of a relay."""

from itertools import accumulate, repeat

import pytest

from service.relay.delivery import ATOMIC_MIN
from service.relay.pace import Pace

PACE = Pace(batch_size=1000, in_flight=256, poll_min=0.05, poll_max=0.25, lease=1)


@pytest.mark.parametrize(
    ("taken", "pause"),
    [
        (1, PACE.poll_min),
        (ATOMIC_MIN - 1, PACE.poll_min),
        (ATOMIC_MIN, PACE.poll_max),
        (PACE.batch_size - 1, PACE.poll_max),
        (PACE.batch_size, 0),
    ],
)
@pytest.mark.parametrize("before", [0, PACE.poll_min, PACE.poll_max])
def test_waits_for_more_events_under_load_but_not_after_a_full_batch(
    taken: int, pause: float, before: float
) -> None:
    assert PACE.pause_after(taken, before) == pause


def test_polls_an_empty_queue_less_and_less_often() -> None:
    pauses = accumulate(repeat(0, 4), lambda before, taken: PACE.pause_after(taken, before))
    assert list(pauses) == [0, 0.05, 0.1, 0.2]
    assert PACE.pause_after(0, 0.2) == PACE.poll_max
