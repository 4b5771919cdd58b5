# SPDX-License-Identifier: MIT
"""Waiting for an event with a time limit."""

import asyncio


async def wait_for(event: asyncio.Event, *, within: float) -> bool:
    """True if the event is set within so many seconds; returns as soon as it is."""
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()
