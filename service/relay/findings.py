# SPDX-License-Identifier: MIT
"""What an audit of the stream finds, and how it asks for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from service.application.outbox import OutboxEvent

PAGE_SIZE = 200
IN_FLIGHT = 64
"""Requests at the same time; few, so that they do not delay those of the relay."""

T = TypeVar("T")
R = TypeVar("R")


class Kind(StrEnum):
    """`FOREIGN`: a message that is no event of the database."""

    LOST = "lost"
    FOREIGN = "foreign"
    DOUBLED = "doubled"
    OUT_OF_ORDER = "out of order"


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` may hold the subject of a foreign message, which may have any characters."""

    kind: Kind
    text: str


Report = Callable[[Finding], None]


def describe(event: OutboxEvent) -> str:
    return (
        f"event {event.id}, {event.type}, version {event.session_version} of session"
        f" {event.session_id}"
    )


async def ask_for_each(ask: Callable[[T], Awaitable[R]], subjects: Iterable[T]) -> list[R]:
    """The answers to a page of requests, of which few are under way at the same time."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def ask_in_turn(subject: T) -> R:
        async with slots:
            return await ask(subject)

    return await asyncio.gather(*map(ask_in_turn, subjects))
