"""Waiting that can be cut short."""

import asyncio


async def happens(event: asyncio.Event, *, within: float) -> bool:
    """Whether the event happens within so many seconds; returns as soon as it does."""
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()
