# SPDX-License-Identifier: MIT
"""Which waiting requests leave together."""

from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.application.group_commit.taking import PASSED_OVER_MAX, fills_group, take_group


class Waiting:
    def __init__(self, weight: int) -> None:
        self._weight = weight
        self.is_weighed = False

    @property
    def weight(self) -> int:
        self.is_weighed = True
        return self._weight


def taken(weights: list[int], size_max: int, weight_max: float) -> tuple[list[int], list[int]]:
    """The places of the requests that leave, and of those that stay."""
    requests: Any = [Waiting(weight) for weight in weights]
    queue = deque(requests)
    group = take_group(queue, size_max, weight_max)
    return [requests.index(each) for each in group], [requests.index(each) for each in queue]


@given(
    weights=st.lists(st.integers(0, 12), min_size=1, max_size=20),
    size_max=st.integers(1, 9),
    weight_max=st.integers(0, 20),
)
def test_a_group_keeps_its_bounds_and_the_order(
    weights: list[int], size_max: int, weight_max: int
) -> None:
    leave, stay = taken(weights, size_max, weight_max)

    assert leave == sorted(leave)
    assert stay == sorted(stay)
    assert sorted(leave + stay) == list(range(len(weights)))
    assert leave[0] == 0
    assert len(leave) <= size_max
    weight = sum(weights[place] for place in leave)
    assert weight <= max(weight_max, weights[0])
    if len(leave) < size_max:
        assert all(weight + weights[place] > weight_max and weights[place] for place in stay)


def test_light_requests_overtake_those_for_which_there_is_no_room() -> None:
    assert taken([5, 6, 0, 4, 1, 0], size_max=9, weight_max=10) == ([0, 2, 3, 4, 5], [1])


def test_a_request_that_is_heavier_than_a_group_may_be_leaves_with_the_light_ones() -> None:
    assert taken([0, 11, 0, 1], size_max=9, weight_max=10) == ([0, 2, 3], [1])
    assert taken([11, 0, 1], size_max=9, weight_max=10) == ([0, 1], [2])


def test_a_group_looks_at_few_of_many_heavy_requests_and_keeps_their_order() -> None:
    requests: Any = [Waiting(100) for _ in range(5000)]
    queue = deque(requests)

    group = take_group(queue, 64, 1000)

    assert group == requests[:10]
    assert list(queue) == requests[10:]
    assert sum(each.is_weighed for each in requests) <= 10 + PASSED_OVER_MAX


def test_every_request_leaves_however_many_heavy_ones_are_before_it() -> None:
    last: Any = Waiting(0)
    queue = deque([*(Waiting(100) for _ in range(5000)), last])
    groups = []

    while queue:
        groups.append(take_group(queue, 64, 1000))

    assert last in groups[(5000 - PASSED_OVER_MAX) // 10]
    assert sum(map(len, groups)) == 5001


def test_requests_fill_a_group_by_their_number_or_by_their_weight() -> None:
    for weights, is_full in [([0, 0], False), ([0, 0, 0], True), ([4, 5], False), ([4, 6], True)]:
        requests: Any = deque(map(Waiting, weights))
        assert fills_group(requests, size_max=3, weight_max=10) is is_full
