# SPDX-License-Identifier: MIT
"""Group commit over a real database, without HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from uuid_utils.compat import uuid7

from service.application.group_commit.group_commit import GroupCommit
from service.application.group_commit.pending import GroupMetrics
from service.application.group_commit.scheduler import SchedulerLimits
from service.bootstrap.clock import now
from service.persistence.database import Database, Limits
from tests.running import an_engine

LIMITS = Limits(
    pool_size=8,
    pool_timeout=60,
    lock_timeout=60,
    statement_timeout=70,
    idle_in_transaction_timeout=80,
)
"""So long that no statement is cut on a starved machine, and executed again."""

SHORT_LIMITS = replace(
    LIMITS, lock_timeout=0.5, statement_timeout=1, idle_in_transaction_timeout=1.5
)
"""For connections that fall silent: a group waits as long as a transaction may take."""


@dataclass
class Seen:
    """The statements that were sent to the database, and the metrics of the groups."""

    statements: list[str] = field(default_factory=list)
    groups: list[GroupMetrics] = field(default_factory=list)


@asynccontextmanager
async def group_commit(
    url: str, *, seen: Seen | None = None, database_limits: Limits = LIMITS, **limits: Any
) -> AsyncIterator[GroupCommit]:
    seen = seen or Seen()
    defaults: dict[str, Any] = {
        "groups_in_flight": 2,
        "group_size_max": 256,
        "queue_max": 5000,
        "timeout": 60.0,
        "resolve_timeout": 90.0,
    }
    async with an_engine(url, database_limits.pool_size, seen.statements) as engine:
        database = Database(engine, database_limits)
        scheduling = SchedulerLimits(**defaults | limits)
        commands = GroupCommit(
            database.run_unit_of_work, now, uuid7, scheduling, seen.groups.append
        )
        try:
            yield commands
        finally:
            await commands.close()
