# SPDX-License-Identifier: MIT
"""Composes the metrics of the API: what counts, and who answers for one process or for several."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import Any

from sqlalchemy import QueuePool

from service.bootstrap.metrics import serving_pages
from service.bootstrap.observers import Observers, Parts, Served, Watch
from service.bootstrap.settings import Settings
from service.observability.api import COMMANDS, READS, ApiMetrics
from service.observability.catalogue import API
from service.observability.exposition import SnapshotCollector, metrics_page, new_registry
from service.observability.families import Snapshot
from service.observability.process import process_snapshot
from service.observability.state import ApiState
from service.observability.workers import ONE_WORKER, Reporter, Workers, open_channel, summed


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    metrics = ApiMetrics(has_key_set=settings.jwks_url is not None)
    with _serving(
        settings, lambda: summed(metrics.snapshot(), process_snapshot(), ONE_WORKER)
    ) as url:
        yield Served(_observers(metrics, settings, nullcontext), url)


@contextmanager
def collected(settings: Settings) -> Iterator[socket.socket]:
    workers = Workers()
    receiver, sender = open_channel()
    with (
        receiver,
        sender,
        workers.receiving(receiver),
        _serving(settings, lambda: summed(workers.snapshot(), process_snapshot())),
    ):
        yield sender


def reporting_to(channel: socket.socket, settings: Settings) -> Observers:
    """Reports at once, so that also a worker that ends during its start is counted."""
    metrics = ApiMetrics(has_key_set=settings.jwks_url is not None)
    reporter = Reporter(channel, lambda: metrics.snapshot() | process_snapshot())
    reporter.report()
    return _observers(metrics, settings, reporter.reporting)


def _serving(settings: Settings, take: Callable[[], Snapshot]) -> AbstractContextManager[str]:
    pages = {"/metrics": metrics_page(new_registry(SnapshotCollector(API, take)))}
    return serving_pages(settings.metrics_host, settings.metrics_port or 0, pages)


def _observers(
    metrics: ApiMetrics,
    settings: Settings,
    reporting: Callable[[], AbstractAsyncContextManager[Any]],
) -> Observers:
    @asynccontextmanager
    async def lifetime() -> AsyncIterator[Watch]:
        async with reporting():
            yield lambda parts: metrics.watch(lambda: _state(parts, settings))

    return Observers(
        requests=metrics.observe_request,
        token_checks=metrics.observe_token_check,
        key_set_fetches=metrics.observe_key_set_fetch,
        groups_of_commands=metrics.observe_groups(COMMANDS),
        groups_of_reads=metrics.observe_groups(READS),
        commands=metrics.observe_commands,
        lifetime=lifetime,
    )


def _state(parts: Parts, settings: Settings) -> ApiState:
    pool = parts.engine.sync_engine.pool
    assert isinstance(pool, QueuePool)  # noqa: S101  of a server, unlike that of a command
    return ApiState(
        waiting={COMMANDS: parts.commands.waiting, READS: parts.queries.waiting},
        queue_limit=settings.queue_max,
        connections_in_use=pool.checkedout(),
        connections_idle=pool.checkedin(),
        connections_limit=settings.database_pool_size,
        connection_waiters=parts.database.waiting,
        is_ready=parts.is_ready(),
        is_writable=parts.database.is_writable,
    )
