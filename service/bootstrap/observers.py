# SPDX-License-Identifier: MIT
"""What may observe a running API; by default, nothing does."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.group_commit.group_commit import GroupCommit
from service.application.group_commit.observing import ObserveCommands, ignore_commands
from service.application.group_commit.pending import ObserveGroup, ignore_group
from service.application.queries import Queries
from service.http.observing import (
    ObserveKeySetFetch,
    ObserveRequest,
    ObserveTokenCheck,
    ignore,
)
from service.persistence.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a running API whose state may be asked for, from any thread."""

    commands: GroupCommit
    queries: Queries
    database: Database
    engine: AsyncEngine
    is_ready: Callable[[], bool]


Watch = Callable[[Parts], None]


def _watch_nothing() -> AbstractAsyncContextManager[Watch]:
    return nullcontext(lambda _parts: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observers:
    """`lifetime` surrounds the life of the app, and is given its parts when they are there."""

    requests: ObserveRequest = ignore
    token_checks: ObserveTokenCheck = ignore
    key_set_fetches: ObserveKeySetFetch = ignore
    groups_of_commands: ObserveGroup = ignore_group
    groups_of_reads: ObserveGroup = ignore_group
    commands: ObserveCommands = ignore_commands
    lifetime: Callable[[], AbstractAsyncContextManager[Watch]] = _watch_nothing


NO_OBSERVERS = Observers()


class Served(NamedTuple):
    """What to observe an app with, and where to see the result; no `url` if there is none."""

    observers: Observers = NO_OBSERVERS
    url: str | None = None
