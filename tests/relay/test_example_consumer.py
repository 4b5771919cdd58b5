# SPDX-License-Identifier: MIT
"""The example of a consumer in docs/examples: deliveries, crashes, gaps, failures, replays."""

import json
import re
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.domain.session import Session
from tests.documents.blocks import block
from tests.group_commit.proxy import Cut, a_proxy
from tests.nats_server import STREAM, NatsServer
from tests.relay.conftest import Relay
from tests.relay.queue import an_event
from tests.running import TestDatabase, eventually
from tests.system.processes import PATIENCE_SECONDS, Process, finished, started

CONSUMER = (sys.executable, "docs/examples/consumer.py")
COMPLETED = {"sets": [12, 10], "totalReps": 22, "rpe": 7}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ONE_COMPLETED = {"completed": 1, "failed": 0, "repetitions": 22}

LINE = re.compile(r"  \w+ +session \S+  version \d+  applied  \{.*\}")

StartConsumer = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def environment(database: TestDatabase, stream: NatsServer) -> dict[str, str]:
    return {
        "CONSUMER_DATABASE_URL": database.url,
        "CONSUMER_NATS_URL": stream.url,
        "CONSUMER_ACK_WAIT_SECONDS": "1",
        "CONSUMER_RETRY_SECONDS": "0.02",
    }


@pytest.fixture
def a_consumer(environment: dict[str, str]) -> StartConsumer:
    def start(**changes: str) -> AbstractAsyncContextManager[Process]:
        return started(command=CONSUMER, environment=environment | changes)

    return start


async def a_completed_session(database: TestDatabase, **data: Any) -> Session:
    """Its three events are queued."""
    session = await database.a_session()
    await an_event(database, session, 1, type="session_planned", data={})
    await an_event(database, session, 2, type="session_started", data={})
    await an_event(database, session, 3, type="session_completed", data=COMPLETED | data)
    return session


async def totals(database: TestDatabase) -> list[dict[str, Any]]:
    return await database.fetch("SELECT completed, failed, repetitions FROM totals")


async def test_applies_each_event_of_a_session_and_prints_it(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_consumer: StartConsumer
) -> None:
    session = await a_completed_session(database)
    await relay()

    async with a_consumer() as consumer:
        line = await consumer.line("completed")
        await eventually(lambda: stream.has_acknowledged("totals"))
        consumer.signal(signal.SIGTERM)
        assert await consumer.end() == 0, consumer.output

    assert f"session {session.id}  version 3  applied  " in line
    *_, shown = block("docs/consumers.md", "$ make consume").splitlines()
    assert LINE.fullmatch(shown)
    assert LINE.fullmatch(line.rstrip("\n"))
    assert await totals(database) == [ONE_COMPLETED]


async def test_an_event_has_its_effect_once_although_the_consumer_is_killed_before_it_acknowledges(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_consumer: StartConsumer
) -> None:
    await a_completed_session(database)
    await relay()
    async with a_proxy(stream.url) as proxy:
        proxy.moment, proxy.cuts = b"$JS.ACK", [Cut.VANISHED_BEFORE]

        async def was_acknowledged() -> bool:
            return bool(proxy.made)

        async with a_consumer(CONSUMER_NATS_URL=f"nats://127.0.0.1:{proxy.port}") as consumer:
            await consumer.line("completed")
            await eventually(was_acknowledged)
            consumer.signal(signal.SIGKILL)
    assert await totals(database) == [ONE_COMPLETED]
    assert not await stream.has_acknowledged("totals")

    async with a_consumer() as consumer:
        assert "received before" in await consumer.line("completed")
        await eventually(lambda: stream.has_acknowledged("totals"))

    assert await totals(database) == [ONE_COMPLETED]


async def test_an_event_has_its_effect_although_the_consumer_is_killed_before_it_commits(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_consumer: StartConsumer
) -> None:
    async with a_consumer():
        await eventually(lambda: has_table(database, "totals"))
    await a_completed_session(database)
    await relay()
    lock = await database.connect()
    async with lock.transaction():
        await lock.execute("LOCK TABLE totals")
        async with a_consumer() as consumer:
            await eventually(lambda: waits_for_lock(database))
            consumer.signal(signal.SIGKILL)
            await consumer.end()
    await lock.close()
    assert await totals(database) == []

    async with a_consumer() as consumer:
        assert "  applied  " in await consumer.line("completed")

    assert await totals(database) == [ONE_COMPLETED]


async def has_table(database: TestDatabase, name: str) -> bool:
    return bool(await database.value("SELECT to_regclass($1)::text", name))


async def waits_for_lock(database: TestDatabase) -> bool:
    return bool(await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_a_replay_changes_nothing_but_what_was_lost(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    settings: RelaySettings,
    a_consumer: StartConsumer,
) -> None:
    await a_completed_session(database)
    await relay()
    async with a_consumer() as consumer:
        await consumer.line("completed")
        await eventually(lambda: stream.has_acknowledged("totals"))
        await a_completed_session(database)
        await database.execute("DELETE FROM inbox")  # as rows that are old
        await stream.delete_stream()  # and the consumer of it
        await database.execute("DELETE FROM outbox")

        await relaying.publish_history(settings, LONG_AGO, ensure_stream=True)

        await consumer.line("applied", count=6)
        await consumer.line("received before", count=3)
    assert [await stream.count(), len(await totals(database))] == [6, 2]


async def test_an_event_waits_for_the_earlier_one_of_its_session(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_consumer: StartConsumer
) -> None:
    await a_completed_session(database)
    [missing] = await database.fetch(
        "DELETE FROM outbox WHERE event_id = (SELECT id FROM events WHERE session_version = 2)"
        " RETURNING user_id, event_id"
    )
    await relay()
    async with a_consumer() as consumer:
        assert "waits for version 2" in await consumer.line("completed")
        assert await totals(database) == []

        await database.execute(
            "INSERT INTO outbox (user_id, event_id) VALUES ($1, $2)", *missing.values()
        )
        await relay()

        assert "applied, and 1 that waited for it" in await consumer.line("started")
    assert await totals(database) == [ONE_COMPLETED]


async def test_an_event_that_always_fails_is_set_aside_and_applied_when_it_is_repaired(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    a_consumer: StartConsumer,
    environment: dict[str, str],
) -> None:
    poisonous = await a_completed_session(database, totalReps=-22)
    await an_event(database, poisonous, 4, type="session_praised", data={})
    await a_completed_session(database)
    await relay()

    async with a_consumer() as consumer:
        await consumer.line("failed, and is set aside")
        await consumer.line("waits for version 3")
        await eventually(lambda: stream.has_acknowledged("totals"))
    assert await totals(database) == [ONE_COMPLETED]
    [row] = await database.fetch("SELECT session_id, error FROM inbox WHERE error IS NOT NULL")
    assert row["session_id"] == poisonous.id
    assert "totals_repetitions_check" in row["error"]

    await database.execute("ALTER TABLE totals DROP CONSTRAINT totals_repetitions_check")
    retried = await finished("--retry", command=CONSUMER, environment=environment)

    assert retried.code == 0, retried.err
    assert {row["repetitions"] for row in await totals(database)} == {22, -22}
    assert await database.value("SELECT count(*) FROM inbox WHERE applied_at IS NULL") == 0


async def test_an_event_that_kills_the_consumer_is_set_aside(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_consumer: StartConsumer
) -> None:
    """As one that needs too much memory: it is delivered again and again, and never answered."""
    await a_completed_session(database)
    await relay()
    async with stream.client() as client:
        reader = await client.jetstream(timeout=PATIENCE_SECONDS).pull_subscribe(
            "", durable="totals", stream=STREAM
        )
        for _ in range(5):
            messages = await reader.fetch(3, timeout=PATIENCE_SECONDS)
            while len(messages) < 3:  # a fetch may return fewer than it asks for
                messages += await reader.fetch(3 - len(messages), timeout=PATIENCE_SECONDS)
            for message in messages:
                await message.nak()

    async with a_consumer() as consumer:
        await consumer.line("set aside", count=3)

    errors = await database.fetch("SELECT error FROM inbox")
    assert [row["error"] for row in errors] == ["it was delivered 6 times"] * 3
    assert await totals(database) == []


UNUSABLE = {
    "no event": ({}, "it is not an event"),
    "another event of the same version": (
        {"ce-id": str(uuid4()), "ce-type": "training.session.v1.failed"},
        "has its id or its version",
    ),
}


@pytest.mark.parametrize("unusable", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_rejects_a_message_that_it_cannot_apply_and_goes_on(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    a_consumer: StartConsumer,
    unusable: tuple[dict[str, str], str],
) -> None:
    session = await a_completed_session(database)
    await relay()
    place = {"sessionId": str(session.id), "userId": str(session.user_id), "sessionVersion": 3}
    headers, reason = unusable
    await stream.publish("training.session.v1.gym.3.failed", json.dumps(place).encode(), headers)
    await an_event(database, session, 4, type="session_praised", data={})
    await relay()

    async with a_consumer() as consumer:
        assert reason in await consumer.line("message 4 is rejected")
        await consumer.line("praised")
        await eventually(lambda: stream.has_acknowledged("totals"))

    assert await totals(database) == [ONE_COMPLETED]


async def test_goes_on_after_an_outage_of_its_database(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_consumer: StartConsumer
) -> None:
    async with a_consumer() as consumer:
        await eventually(lambda: stream.has_consumer("totals"))
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await a_completed_session(database)
        await relay()
        await consumer.line("completed")

    assert await totals(database) == [ONE_COMPLETED]


async def test_two_processes_share_the_events_and_keep_the_order_of_each_session(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_consumer: StartConsumer
) -> None:
    for _ in range(20):
        await a_completed_session(database)
    await relay()

    async with a_consumer(), a_consumer():
        await eventually(lambda: is_counted(database, 20))

    assert await totals(database) == [ONE_COMPLETED] * 20
    assert await database.value("SELECT count(*) FROM inbox WHERE applied_at IS NULL") == 0


async def is_counted(database: TestDatabase, users: int) -> bool:
    if not await has_table(database, "totals"):
        return False
    return len(await totals(database)) == users
