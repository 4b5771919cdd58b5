# SPDX-License-Identifier: MIT
"""python -m service relay: from committed events to the stream."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sqlalchemy as sa
import yaml

from service.application.outbox import Backlog
from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.persistence.relay_turn import SqlTurn
from service.relay.delivery import ATOMIC_MIN
from service.relay.observing import ObservedTurn
from tests.conftest import StartApp
from tests.documents.blocks import block
from tests.nats_server import NatsServer, Stored
from tests.relay.conftest import LONG_LEASE, Relay, StartRelay, is_empty
from tests.relay.queue import an_event
from tests.running import App, TestDatabase, eventually
from tests.system.processes import Process

ASYNCAPI = yaml.safe_load((Path(__file__).parents[2] / "docs" / "asyncapi.yaml").read_text())
ONE_BY_ONE = ATOMIC_MIN - 1
"""The largest batch whose events go one by one."""
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def relayed(database: TestDatabase, process: Process) -> None:
    """Waits until the queue is empty, and stops the relay with SIGTERM."""
    await eventually(lambda: is_empty(database))
    process.signal(signal.SIGTERM)
    assert await process.end() == 0, process.output


def states(process: Process) -> list[str]:
    lines = [json.loads(line) for line in process.out]
    return [line["state"] for line in lines if line["event"] == "relay"]


@pytest.fixture
async def app(start_app: StartApp) -> App:
    started: App = await start_app()
    return started


async def test_a_failed_session_reaches_the_stream(
    database: TestDatabase, app: App, stream: NatsServer, a_relay: StartRelay
) -> None:
    session = await database.a_session()
    await app.fail(
        session,
        reason="shoulder pain",
        headers={"X-Request-Id": "phone-7", "traceparent": TRACEPARENT},
    )

    async with a_relay(events_source="/gym") as process:
        await relayed(database, process)

    [event] = await database.events(session)
    [stored] = await stream.stored()
    _, headers, payload = block("docs/events.md", "Subject: ").split("\n\n")
    assert {each.partition(":")[0] for each in headers.splitlines()} == stored.headers.keys()
    assert json.loads(payload).keys() == stored.payload.keys()
    assert stored == Stored(
        subject=f"training.session.v1.{session.id}.{session.version + 1}.failed",
        headers={
            "ce-specversion": "1.0",
            "ce-id": str(event["id"]),
            "ce-source": "/gym",
            "ce-type": "training.session.v1.failed",
            "ce-subject": str(session.id),
            "ce-time": event["occurred_at"].isoformat().replace("+00:00", "Z"),
            "ce-datacontenttype": "application/json",
            "ce-requestid": "phone-7",
            "ce-traceparent": TRACEPARENT,
            "Nats-Msg-Id": str(event["id"]),
            "Nats-Expected-Last-Subject-Sequence": "0",
        },
        payload={
            "reason": "shoulder pain",
            "sessionId": str(session.id),
            "userId": str(session.user_id),
            "sessionVersion": 2,
        },
    )
    assert states(process) == ["active"]


EVENTS: dict[str, dict[str, Any]] = {
    "planned": {"sessionDate": "2026-11-22T09:00:00Z"},
    "started": {},
    "updated": {
        "sets": [12, None],
        "totalReps": 12,
        "rpe": 7,
        "notes": None,
        "sessionDate": "2026-11-22T09:00:00Z",
    },
    "completed": {"sets": [12, 10, None], "totalReps": 22, "rpe": None},
    "failed": {"reason": None},
}


async def test_publishes_exactly_the_documented_message(
    database: TestDatabase, stream: NatsServer, relay: Relay
) -> None:
    session = await database.a_session()
    for version, (name, data) in enumerate(EVENTS.items(), start=1):
        await an_event(database, session, version, type=f"session_{name}", data=data)

    await relay()

    messages = await stream.stored()
    assert [message.subject.rpartition(".")[2] for message in messages] == list(EVENTS)
    for version, (name, message) in enumerate(zip(EVENTS, messages, strict=True), start=1):
        address = ASYNCAPI["channels"][name]["address"]
        parameters = {"sessionId": session.id, "sessionVersion": version}
        assert message.subject == address.format(**parameters)
        conform(message.headers, f"{name}Attributes")
        conform(message.payload, name)


def conform(found: Any, schema: str) -> None:
    whole = ASYNCAPI | {"$ref": f"#/components/schemas/{schema}"}
    jsonschema.Draft7Validator(
        whole, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER
    ).validate(found)


async def test_publishes_sessions_in_parallel_and_each_sessions_events_in_order(
    database: TestDatabase, stream: NatsServer, relay: Relay
) -> None:
    sessions = [await database.a_session() for _ in range(20)]
    for version in range(1, 6):
        for session in sessions:
            await an_event(database, session, version, type="session_updated")

    await relay(relay_batch_size=7, relay_publishes_in_flight=3)

    found = [message.payload for message in await stream.stored()]
    for session in sessions:
        own = [each["sessionVersion"] for each in found if each["sessionId"] == str(session.id)]
        assert own == [1, 2, 3, 4, 5]


async def test_the_second_of_two_relays_waits_and_takes_over(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    session = await database.a_session()
    async with a_relay(**LONG_LEASE) as first:
        await first.line("active")
        async with a_relay(**LONG_LEASE) as second:
            await second.line("standby")
            first.signal(signal.SIGKILL)
            await second.line("active")
            await an_event(database, session, 1)
            await relayed(database, second)

    assert states(second) == ["standby", "active"]
    assert await stream.count() == 1


async def test_waits_for_a_missing_stream_and_logs_it_once(
    database: TestDatabase, broker: NatsServer, a_relay: StartRelay
) -> None:
    await an_event(database, await database.a_session(), 1)
    async with a_relay() as process:
        await process.line("the stream TRAINING_SESSIONS is missing")
        await broker.make_stream()
        await relayed(database, process)

    assert states(process) == ["broker unavailable", "active"]


async def test_ensure_stream_creates_the_stream(
    database: TestDatabase, broker: NatsServer, a_relay: StartRelay
) -> None:
    await an_event(database, await database.a_session(), 1)
    for _ in range(2):
        async with a_relay("--ensure-stream", nats_duplicate_window_seconds=60) as process:
            await process.line("active")
            await relayed(database, process)

    config = await broker.config()
    assert (config.storage, config.discard, config.retention) == ("file", "new", "limits")
    assert (config.duplicate_window, config.subjects) == (60, ["training.session.v1.>"])
    assert await broker.count() == 1


async def test_refuses_a_wrong_stream_with_a_sentence(
    broker: NatsServer, a_relay: StartRelay
) -> None:
    await broker.make_stream(discard="old")

    async with a_relay("--ensure-stream") as process:
        assert await process.end() == 1

    [sentence] = process.err
    assert sentence.startswith("The stream TRAINING_SESSIONS cannot be used: when full it")


async def test_ends_at_sigterm_without_a_broker(
    database: TestDatabase, broker: NatsServer, a_relay: StartRelay
) -> None:
    await broker.stop()
    await an_event(database, await database.a_session(), 1)

    async with a_relay() as process:
        await process.line("broker unavailable")
        process.signal(signal.SIGTERM)
        assert await process.end() == 0

    assert len(await database.outbox()) == 1


async def test_acknowledged_events_stay_published_when_the_relay_is_stopped(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    sessions = [await database.a_session() for _ in range(200)]
    for session in sessions:
        await an_event(database, session, 1)

    async with a_relay(relay_publishes_in_flight=1, relay_batch_size=ONE_BY_ONE) as process:
        await eventually(lambda: holds_something(stream))
        process.signal(signal.SIGTERM)
        assert await process.end() == 0

    assert len(await database.outbox()) + await stream.count() == 200


async def holds_something(stream: NatsServer) -> bool:
    return await stream.count() > 0


async def test_says_that_the_database_is_not_migrated(
    template: str, empty_database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    """Another database of the server, the template, has been."""
    async with a_relay(database_url=empty_database.relay_url) as process:
        assert await process.end() == 1

    assert process.err == ['The database refuses: relation "outbox" does not exist\n']


async def test_logs_neither_the_database_url_nor_the_broker_url(
    database: TestDatabase, broker: NatsServer, a_relay: StartRelay
) -> None:
    await broker.stop()
    url = broker.url.replace("nats://", "nats://coach:whistle@")

    async with a_relay(nats_url=url, log_level="debug") as process:
        await process.line("broker unavailable")
        process.signal(signal.SIGTERM)
        assert await process.end() == 0

    assert "whistle" not in process.output
    assert database.cluster.password not in process.output.replace("training-", "")


async def test_parks_a_row_whose_event_does_not_exist(
    database: TestDatabase, stream: NatsServer, relay: Relay
) -> None:
    gone, kept = await database.a_session(), await database.a_session()
    for session in (gone, kept):
        await an_event(database, session, 1)
    await database.execute("DELETE FROM sessions WHERE id = $1", gone.id)

    await relay()

    assert await stream.count() == 1
    [parked] = await database.fetch("SELECT * FROM parked_events")
    assert parked["reason"] == "the event was deleted"


async def test_reports_its_turns_its_batches_and_its_leadership(
    database: TestDatabase, stream: NatsServer, relay: Relay
) -> None:
    first = await an_event(database, await database.a_session(), 1)
    at = await database.value("SELECT occurred_at FROM events WHERE id = $1", first)

    await relay()
    await database.execute("INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM events")
    await an_event(database, await database.a_session(), 1)
    seen = [turn for turn in await relay() if turn.published or turn.duplicates]

    [turn] = seen
    assert (turn.state, turn.published, turn.duplicates, turn.parked) == ("active", 1, 1, 0)
    assert turn.oldest_at == at
    assert turn.backlog == Backlog(pending=2, parked=0, oldest_at=at)
    assert len(turn.seconds_to_ack) == 1
    assert turn.seconds_to_ack[0] > 0


async def test_reports_the_backlog_while_the_broker_is_down(
    database: TestDatabase, settings: RelaySettings, broker: NatsServer
) -> None:
    await broker.stop()
    await an_event(database, await database.a_session(), 1)
    told = asyncio.Queue[ObservedTurn]()

    async with relaying.a_relay(settings, observe=told.put_nowait) as relay:
        running = asyncio.create_task(relay.run())
        turn = await told.get()
        relay.stop()
        await running

    backlog = Backlog(pending=1, parked=0, oldest_at=turn.oldest_at)
    assert (turn.state, turn.leads, turn.backlog) == ("broker unavailable", True, backlog)
    assert turn.oldest_at is not None


async def test_the_relay_believes_its_lease_exactly_as_long_as_the_database(
    settings: RelaySettings, stream: NatsServer
) -> None:
    changed = settings.model_copy(
        update={"relay_lease_seconds": 7.0, "relay_statement_timeout_seconds": 3.0}
    )

    async with (
        relaying.a_relay(changed) as relay,
        relay._open_leadership() as leadership,  # noqa: SLF001  what the relay uses
    ):
        assert isinstance(leadership, SqlTurn)
        shown = await leadership.execute(sa.text("SHOW idle_in_transaction_session_timeout"))

    assert (shown.scalar(), relay._pace.lease) == ("7s", 7.0)  # noqa: SLF001  the same
