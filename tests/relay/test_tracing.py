# SPDX-License-Identifier: MIT
"""One trace from the request of a phone to the effect of its event, across the real processes."""

import signal
import sys
from collections.abc import AsyncIterator

import pytest

from tests.nats_server import NatsServer
from tests.relay.conftest import StartRelay, is_empty
from tests.running import TestDatabase, eventually
from tests.system.processes import Process, a_service, started
from tests.tracing.collector import Collector, a_collector
from tests.tracing.spans import CALLER, TRACE_ID, TRACEPARENT

PUBLISH, PROCESS = (f"{verb} training.session.v1.*.*.*" for verb in ("publish", "process"))
CONSUMER = (sys.executable, "docs/examples/consumer.py")
LONG_AGO = "2026-01-01T00:00:00Z"


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    async with a_collector() as collector:
        for name, value in collector.environment().items():
            monkeypatch.setenv(name, value)
        yield collector


async def ended(process: Process) -> None:
    process.signal(signal.SIGTERM)
    assert await process.end() == 0, process.output


async def fail_a_session(database: TestDatabase) -> None:
    session = await database.a_session()
    async with a_service(database.api_url, tracing="true") as (process, app):
        response = await app.fail(session, headers={"traceparent": TRACEPARENT})
        assert response.status_code == 200
        await ended(process)


def a_consumer(database: TestDatabase, stream: NatsServer) -> dict[str, str]:
    return {
        "CONSUMER_DATABASE_URL": database.url,
        "CONSUMER_NATS_URL": stream.url,
        "CONSUMER_TRACING": "true",
        "OTEL_SERVICE_NAME": "totals",
    }


async def test_one_trace_from_the_request_to_the_consumer(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay, collector: Collector
) -> None:
    await fail_a_session(database)
    async with a_relay(tracing="true") as relay:
        await eventually(lambda: is_empty(database))
        await ended(relay)
    async with started(command=CONSUMER, environment=a_consumer(database, stream)) as consumer:
        await consumer.line("failed")
        await ended(consumer)

    request, group = await collector.one("POST"), await collector.one("group")
    transaction = await collector.one("transaction")
    published, processed = await collector.one(PUBLISH), await collector.one(PROCESS)
    assert {each.trace for each in collector.spans} == {TRACE_ID}
    assert (request.parent, group.parent) == (CALLER, request.id)
    assert transaction.parent == group.id
    assert published.parent == processed.parent == request.id
    assert [each.service for each in (request, published, processed)] == [
        "training-sessions", "training-sessions-relay", "totals",
    ]  # fmt: skip
    assert {each.error for each in collector.spans} == {None}


async def test_a_replay_belongs_to_the_trace_and_sends_the_same_message(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay, collector: Collector
) -> None:
    await fail_a_session(database)
    async with a_relay() as relay:  # not traced
        await eventually(lambda: is_empty(database))
        await ended(relay)
    before = await stream.stored()
    await stream.purge_stream()

    async with a_relay("--replay", "--since", LONG_AGO, tracing="true") as replay:
        assert await replay.end() == 0, replay.output

    request, published = await collector.one("POST"), await collector.one(PUBLISH)
    assert (published.trace, published.parent) == (TRACE_ID, request.id)
    [message] = await stream.stored()
    assert [message.headers["ce-traceparent"]] == [f"00-{TRACE_ID}-{request.id}-01"]
    assert message.payload == before[0].payload


async def test_an_effect_that_fails_is_told_without_its_message(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay, collector: Collector
) -> None:
    await fail_a_session(database)
    async with a_relay() as relay:
        await eventually(lambda: is_empty(database))
        await ended(relay)
    await stream.publish("training.session.v1.knee", b"knee")
    async with started(command=CONSUMER, environment=a_consumer(database, stream)) as consumer:
        await consumer.line("is rejected")
        await ended(consumer)

    errors = [each.error for each in collector.spans if each.name == PROCESS]
    assert errors == [None, "RejectedError"]
