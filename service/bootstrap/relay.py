# SPDX-License-Identifier: MIT
"""Composes the relay and its commands from settings."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from service.application.outbox import ParkedEvent
from service.application.progress import NO_PROGRESS, Progress
from service.bootstrap.clock import now
from service.bootstrap.memory import freeze_startup_objects
from service.bootstrap.relay_pages import Observers, observing
from service.bootstrap.settings import RelaySettings
from service.bootstrap.tracing import traced_publisher
from service.persistence.engine import create_engine
from service.persistence.outbox import Outbox
from service.relay import stream
from service.relay.audit import Audited, audit
from service.relay.broker import Broker
from service.relay.connection import Connection
from service.relay.findings import Report
from service.relay.observing import ObserveStep, ObserveTurn, ignore_step, ignore_turn
from service.relay.pace import Pace
from service.relay.relay import Relay
from service.relay.replay import Replayed, replay
from service.relay.servers import parse_servers
from service.relay.stream import Stream


async def run(settings: RelaySettings, *, ensure_stream: bool = False) -> None:
    """Runs the relay until SIGTERM or SIGINT. Raises WrongStream and CannotListen."""
    freeze_startup_objects()
    with observing(settings) as observers:
        await _run(settings, observers, ensure_stream=ensure_stream)


async def _run(settings: RelaySettings, observers: Observers, *, ensure_stream: bool) -> None:
    async with a_relay(
        settings, ensure_stream=ensure_stream, observe=observers.turn, step=observers.step
    ) as relay:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, relay.stop)
        await relay.run()


@asynccontextmanager
async def a_relay(
    settings: RelaySettings,
    *,
    ensure_stream: bool = False,
    observe: ObserveTurn = ignore_turn,
    step: ObserveStep = ignore_step,
) -> AsyncIterator[Relay]:
    check_stream = _stream_check(settings, ensure_stream=ensure_stream)
    async with (
        open_outbox(settings) as outbox,
        open_broker(settings) as broker,
        traced_publisher(settings, broker) as publisher,
    ):
        yield Relay(
            outbox.leadership,
            outbox.turn,
            outbox.backlog,
            publisher,
            lambda: check_stream(broker),
            clock=now,
            pace=Pace(
                batch_size=settings.relay_batch_size,
                in_flight=settings.relay_publishes_in_flight,
                poll_min=settings.relay_poll_min_seconds,
                poll_max=settings.relay_poll_max_seconds,
                lease=settings.relay_lease_seconds,
            ),
            observe=observe,
            step=step,
        )


async def parked(settings: RelaySettings) -> list[ParkedEvent]:
    async with open_outbox(settings) as outbox:
        return await outbox.parked()


async def retry_parked(settings: RelaySettings) -> int:
    """Raises CommitUnknown if a failover may still bring back the parked events."""
    async with open_outbox(settings) as outbox:
        async with outbox.long_turn() as turn:
            count = await turn.retry_parked()
            await turn.commit()
        await outbox.confirm()
        return count


async def publish_history(
    settings: RelaySettings,
    since: datetime,
    *,
    ensure_stream: bool = False,
    progress: Progress = NO_PROGRESS,
    total: Replayed | None = None,
) -> Replayed:
    """Publishes the events since then again; adds to `total` as it goes.

    Creates a missing stream in the same turn, before the relay publishes new events to it. Raises
    WrongStream and BrokerUnavailable.
    """
    check_stream = _stream_check(settings, ensure_stream=ensure_stream)
    async with open_outbox(settings) as outbox, open_broker(settings) as broker:
        await broker.wait_until_connected()
        async with traced_publisher(settings, broker) as publisher, outbox.long_turn() as turn:
            return await replay(
                turn,
                publisher,
                lambda: check_stream(broker),
                since=since,
                in_flight=settings.relay_publishes_in_flight,
                lease=settings.relay_lease_seconds,
                progress=progress,
                total=total,
            )


async def audit_stream(
    settings: RelaySettings, since: datetime, report: Report, progress: Progress = NO_PROGRESS
) -> Audited:
    """Raises BrokerUnavailable."""
    async with open_outbox(settings) as outbox, open_broker(settings) as broker:
        return await audit(outbox, broker, since=since, clock=now, report=report, progress=progress)


@asynccontextmanager
async def open_outbox(settings: RelaySettings) -> AsyncIterator[Outbox]:
    engine = create_engine(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_timeout_seconds,
        pool_size=2,  # one connection for leadership, one for turns
        transaction_pooler=settings.database_transaction_pooler,
    )
    try:
        yield Outbox(
            engine,
            lease=settings.relay_lease_seconds,
            statement_timeout=settings.relay_statement_timeout_seconds,
        )
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_broker(settings: RelaySettings) -> AsyncIterator[Broker]:
    servers = parse_servers(settings.nats_url.get_secret_value())
    async with Connection(servers, seconds=settings.nats_timeout_seconds).open() as connection:
        yield Broker(connection, stream=settings.nats_stream, source=settings.events_source)


def wanted_stream(settings: RelaySettings) -> Stream:
    return Stream(
        name=settings.nats_stream,
        replicas=settings.nats_stream_replicas,
        duplicate_window=settings.nats_duplicate_window_seconds,
    )


def _stream_check(
    settings: RelaySettings, *, ensure_stream: bool
) -> Callable[[Broker], Awaitable[None]]:
    """Creates a stream only once: a stream that goes missing later needs its history first."""
    may_create = ensure_stream
    wanted = wanted_stream(settings)

    async def check(broker: Broker) -> None:
        nonlocal may_create
        await (stream.ensure if may_create else stream.require)(broker, wanted)
        may_create = False

    return check
