# SPDX-License-Identifier: MIT
"""A pause between two groups, so that the second one is large."""

import asyncio
from collections.abc import Callable, Sized

PAIRS_MAX = 4
"""Most pairs of iterations of the event loop. One new request for each would prolong the pause."""


async def let_grow(queue: Sized, is_group_full: Callable[[], bool]) -> None:
    """Returns when all requests that have arrived are in the queue, or enough for a group.

    A transaction costs about the same for any number of requests. In its next iteration, the event
    loop sends the answers to the last group; then, in each pair of iterations, it reads what has
    arrived in the meantime, and the requests join the queue. The pause ends after a pair that
    brought none, and after `PAIRS_MAX`.
    """
    await asyncio.sleep(0)
    before = -1
    for _ in range(PAIRS_MAX):
        if len(queue) == before or is_group_full():
            return
        before = len(queue)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
