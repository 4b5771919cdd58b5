# SPDX-License-Identifier: MIT
"""Which of the waiting requests leave in one group."""

from collections import deque

from service.application.group_commit.pending import P

PASSED_OVER_MAX = 64
"""Most requests that a group passes over, so that a long queue of heavy ones is not walked."""


def take_group(requests: deque[P], size_max: int, weight_max: float) -> list[P]:
    """Takes the first request, and in order those after it that the group has room for.

    A request that is too heavy for the rest of the group stays in its place, and lighter ones
    behind it leave before it. It does not wait for ever, because the first request is always taken.
    """
    group, too_heavy = [requests.popleft()], list[P]()
    room = weight_max - group[0].weight
    while requests and len(group) < size_max and len(too_heavy) < PASSED_OVER_MAX:
        pending = requests.popleft()
        if pending.weight <= max(room, 0):
            room -= pending.weight
            group.append(pending)
        else:
            too_heavy.append(pending)
    requests.extendleft(reversed(too_heavy))
    return group


def fills_group(requests: deque[P], size_max: int, weight_max: float) -> bool:
    """Whether the requests are enough for a group, by their number or by their weight."""
    if len(requests) >= size_max:
        return True
    return sum(each.weight for each in requests) >= weight_max
