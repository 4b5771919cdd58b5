# SPDX-License-Identifier: MIT
"""Hears why a server ends connections before it reads anything."""

import asyncio

HEAR_SECONDS = 1


async def hear_refusal(host: str, port: int) -> str | None:
    """The error that a NATS server sends after its greeting, or None.

    A server that has too many clients says so and hangs up. A client that has begun to send is cut
    off before it can read that. So this one only listens, and it sends no login.
    """
    try:
        async with asyncio.timeout(HEAR_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                await reader.readline()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError):
        return None
    return line.decode(errors="replace")[4:].strip() if line.startswith(b"-ERR") else None
