# SPDX-License-Identifier: MIT
"""Transactions whose steps a test awaits one by one, with other work between them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.util import await_

from service.persistence.database import Database

Users = frozenset[UUID]
Step = tuple[Callable[[], Any], asyncio.Future[Any]]


class Steps:
    """Has the methods of a unit of work or of a reader; each is awaited."""

    def __init__(self, transaction: Any, running: asyncio.Task[None]) -> None:
        self._transaction = transaction
        self._running = running
        self.waiting: asyncio.Queue[Step | None] = asyncio.Queue()

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        return partial(self._take, getattr(self._transaction, method))

    async def _take(self, method: Callable[..., Any], *given: Any) -> Any:
        answer = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait((partial(method, *given), answer))
        await asyncio.wait({answer, self._running}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            await self._running
            raise RuntimeError("the transaction has ended")
        return answer.result()


def open_unit_of_work(units: Database, acting_users: Users) -> AbstractAsyncContextManager[Any]:
    return _stepping(units.run_unit_of_work, acting_users)


def open_reader(units: Database, acting_users: Users) -> AbstractAsyncContextManager[Any]:
    return _stepping(units.run_read, acting_users)


@asynccontextmanager
async def _stepping(run: Callable[[Users, Any], Any], acting_users: Users) -> AsyncIterator[Steps]:
    opened: asyncio.Future[Steps] = asyncio.get_running_loop().create_future()

    def take_steps(transaction: Any) -> None:
        steps = Steps(transaction, running)
        opened.set_result(steps)
        while step := await_(steps.waiting.get()):
            take, answer = step
            answer.set_result(take())

    running = asyncio.create_task(run(acting_users, take_steps))
    try:
        await asyncio.wait({opened, running}, return_when=asyncio.FIRST_COMPLETED)
        if opened.done():
            yield opened.result()
            opened.result().waiting.put_nowait(None)
        await running
    finally:
        running.cancel()
        await asyncio.wait({running})
