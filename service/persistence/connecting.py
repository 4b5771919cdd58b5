# SPDX-License-Identifier: MIT
"""Connects to the first server of a list that can be reached and has the wanted role."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from itertools import product
from typing import Any, TypeVar

import asyncpg

from service.persistence.database_url import DatabaseTarget

C = TypeVar("C", bound=asyncpg.Connection)

HEAD_START_SECONDS = 1.0
"""A server that has not answered for so long gets company: the next one is tried as well."""

_TRY_THE_NEXT = (
    OSError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
)
"""As in libpq, a refused login is final: the other servers would refuse it too."""


async def connect(
    target: DatabaseTarget, *, within: float, connection_class: type[C], **options: Any
) -> C:
    """`within`: seconds for each server.

    asyncpg alone would spend them on the first server, if that has vanished, and try no other.
    """

    async def attempt(attributes: str, address: tuple[str, int]) -> C:
        arguments = {**target.arguments, **options, "target_session_attrs": attributes}
        connection: C = await asyncpg.connect(
            host=[address[0]],
            port=[address[1]],
            timeout=within,
            connection_class=connection_class,
            **arguments,
        )
        return connection

    choices = list(product(_rounds(target), _in_order(target)))
    if len(choices) == 1:
        return await attempt(*choices[0])
    return await first_connection([partial(attempt, *choice) for choice in choices])


def _rounds(target: DatabaseTarget) -> tuple[str, ...]:
    is_preference = target.session_attributes == "prefer-standby"
    return ("standby", "any") if is_preference else (target.session_attributes,)


def _in_order(target: DatabaseTarget) -> Iterable[tuple[str, int]]:
    addresses = target.addresses
    return random.sample(addresses, len(addresses)) if target.is_balanced else addresses


async def first_connection(attempts: Sequence[Callable[[], Coroutine[Any, Any, C]]]) -> C:
    """Starts the next attempt when one has failed, or has not ended within its head start."""
    waiting, running = deque(attempts), set[asyncio.Task[C]]()
    errors: list[BaseException] = []
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(waiting.popleft()()))
            done, _ = await asyncio.wait(
                running,
                timeout=HEAD_START_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                running.remove(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, _TRY_THE_NEXT):
                    raise error
                errors.append(error)
    finally:
        for task in running:
            task.add_done_callback(_close)
            task.cancel()
    raise _most_telling(errors)


def _close(task: asyncio.Task[Any]) -> None:
    """An attempt that succeeded together with another is not needed."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def _most_telling(errors: Sequence[BaseException]) -> BaseException:
    """A server that was reached and refused tells more than one that could not be reached."""
    return next((each for each in errors if not isinstance(each, OSError)), errors[-1])
