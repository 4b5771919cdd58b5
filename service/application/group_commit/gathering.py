# SPDX-License-Identifier: MIT
"""A pause between two groups, so that the second one is large."""

import asyncio
from collections.abc import Sized


async def let_grow(queue: Sized, most: int) -> None:
    """Returns when all requests that have arrived are in the queue, or `most` of them.

    A transaction costs about the same for any number of requests. In its next iteration, the event
    loop sends the answers to the last group; then, in each pair of iterations, it reads what has
    arrived in the meantime, and the requests join the queue.
    """
    await asyncio.sleep(0)
    before = -1
    while before < len(queue) < most:
        before = len(queue)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
