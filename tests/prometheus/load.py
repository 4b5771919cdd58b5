# SPDX-License-Identifier: MIT
"""Users who plan sessions, train, and complete or fail them, as often as asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from uuid import uuid4

import httpx2

from tests.builders import bearer
from tests.prometheus.stack import Stack

AT_ONCE_MAX = 500
"""Lives beyond that are not begun: so many wait only in an outage."""


@asynccontextmanager
async def load(stack: Stack, *, lives_per_second: float) -> AsyncIterator[None]:
    """Begins lives of sessions during the block, whether the earlier ones are answered or not."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_begin(stack, 1 / lives_per_second))
        yield
        task.cancel()


async def _begin(stack: Stack, pause: float) -> None:
    async with asyncio.TaskGroup() as lives:
        running: set[asyncio.Task[None]] = set()
        for number, client in enumerate(cycle(stack.replicas)):
            if len(running) < AT_ONCE_MAX:
                running.add(life := lives.create_task(_live(client, stack, number)))
                life.add_done_callback(running.discard)
            await asyncio.sleep(pause)


async def _live(client: httpx2.AsyncClient, stack: Stack, number: int) -> None:
    headers = bearer(stack.key.token(uuid4()))
    with suppress(httpx2.TransportError):
        planned = await client.post(
            "/sessions", headers=headers, json={"sessionDate": "2026-11-22T09:00:00Z"}
        )
        if planned.status_code != httpx2.codes.CREATED:
            return
        path = f"/sessions/{planned.json()['data']['session']['id']}"
        await client.post(f"{path}/start", headers=headers)
        await client.patch(path, headers=headers, json={"sets": [12, 10]})
        end = "complete" if number % 3 else "fail"
        await client.post(f"{path}/{end}", headers=headers, json={})
        await client.post(f"{path}/{end}", headers=headers, json={})  # refused: it is over
        await client.get(path, headers=headers)
        await client.get("/sessions", headers=headers)
