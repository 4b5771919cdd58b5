# SPDX-License-Identifier: MIT
"""Composes `erase` and `prune` from settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.erasure import Erased
from service.application.progress import NO_PROGRESS, Progress
from service.application.pruning import Pruned, Retention, prune
from service.bootstrap.relay import open_broker
from service.bootstrap.settings import DatabaseSettings, RelaySettings
from service.persistence.engine import create_engine
from service.persistence.erasure import SqlErasure
from service.persistence.pruning import SqlOldRows
from service.relay.erase import erase, erase_from_stream

PAUSE_OF_PRUNING_SECONDS = 0.1


async def erase_user(
    settings: RelaySettings,
    user_id: UUID,
    erased: Erased,
    *,
    search_stream: bool = False,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Adds to `erased` as it goes. Raises BrokerUnavailable, and as RoleTransactions do."""
    async with _engine(settings) as engine, open_broker(settings) as broker:
        await broker.wait_until_connected()
        erasure = SqlErasure(
            engine,
            lease=settings.relay_lease_seconds,
            statement_timeout=settings.relay_statement_timeout_seconds,
        )
        await erase(
            erasure,
            broker.stream,
            user_id,
            lease=settings.relay_lease_seconds,
            pause=settings.relay_poll_max_seconds,  # a relay tries again after it
            progress=progress,
            erased=erased,
        )
        if search_stream:
            await erase_from_stream(broker.stream, user_id, progress=progress, erased=erased)


async def prune_old_rows(
    settings: DatabaseSettings,
    retention: Retention,
    pruned: Pruned,
    *,
    is_dry: bool = False,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Adds to `pruned` as it goes. Raises as RoleTransactions do."""
    async with _engine(settings) as engine:
        await prune(
            SqlOldRows(engine),
            retention,
            is_dry=is_dry,
            pause=PAUSE_OF_PRUNING_SECONDS,
            progress=progress,
            pruned=pruned,
        )


@asynccontextmanager
async def _engine(settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_timeout_seconds,
        transaction_pooler=settings.database_transaction_pooler,
    )
    try:
        yield engine
    finally:
        await engine.dispose()
