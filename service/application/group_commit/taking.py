# SPDX-License-Identifier: MIT
"""Which of the waiting requests leave in one group."""

from collections import deque

from service.application.group_commit.pending import P


def take_group(requests: deque[P], size_max: int, weight_max: float) -> list[P]:
    """Takes the first request, and in order those after it that the group has room for.

    A request that is too heavy for the rest of the group stays, and those after it that are not
    overtake it. It is not overtaken for ever, because the first request is always taken.
    """
    group, too_heavy = [requests.popleft()], list[P]()
    room = weight_max - group[0].weight
    while requests and len(group) < size_max:
        pending = requests.popleft()
        if pending.weight <= max(room, 0):
            room -= pending.weight
            group.append(pending)
        else:
            too_heavy.append(pending)
    requests.extendleft(reversed(too_heavy))
    return group
