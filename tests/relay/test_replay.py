# SPDX-License-Identifier: MIT
"""python -m service relay --replay: publishes history again for a broker that lost it."""

from datetime import UTC, datetime

import pytest

from service.application.errors import ConnectionLost
from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.cli.main import main
from service.relay.lease import Lease
from service.relay.replay import Replayed
from tests.nats_server import NatsServer
from tests.relay.conftest import Relay, StartRelay
from tests.relay.queue import an_event
from tests.running import TestDatabase

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def test_publishes_events_that_the_stream_lost_in_order_of_each_session(
    database: TestDatabase, stream: NatsServer, relay: Relay, settings: RelaySettings
) -> None:
    sessions = [await database.a_session() for _ in range(5)]
    for version in (1, 2, 3):
        for session in sessions:
            await an_event(database, session, version, type="session_updated")
    await relay()
    await stream.purge_stream()

    done = [await relaying.publish_history(settings, LONG_AGO) for _ in range(2)]

    assert done == [Replayed(published=15), Replayed(present=15)]
    found = [message.payload for message in await stream.stored()]
    for session in sessions:
        own = [each["sessionVersion"] for each in found if each["sessionId"] == str(session.id)]
        assert own == [1, 2, 3]


async def test_replays_neither_earlier_events_nor_queued_ones(
    database: TestDatabase, stream: NatsServer, settings: RelaySettings
) -> None:
    session = await database.a_session()
    await an_event(database, session, 1, type="session_planned")
    await database.execute("DELETE FROM outbox")
    since = datetime.now(UTC)
    started = await an_event(database, session, 2, type="session_started")
    await database.execute("DELETE FROM outbox")
    await an_event(database, session, 3)

    await relaying.publish_history(settings, since)

    assert [message.id for message in await stream.stored()] == [str(started)]
    assert len(await database.outbox()) == 1


async def test_fails_without_publishing_if_it_loses_its_turn(
    database: TestDatabase,
    stream: NatsServer,
    settings: RelaySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await an_event(database, await database.a_session(), 1)
    await database.execute("DELETE FROM outbox")
    monkeypatch.setattr(Lease, "is_held", lambda _lease: False)

    with pytest.raises(ConnectionLost):
        await relaying.publish_history(settings, LONG_AGO)

    assert await stream.count() == 0


async def test_the_command_line_reports_the_result(
    database: TestDatabase, broker: NatsServer, a_relay: StartRelay
) -> None:
    await an_event(database, await database.a_session(), 1)
    await database.execute("DELETE FROM outbox")

    async with a_relay("--ensure-stream", "--replay", "--since", LONG_AGO.isoformat()) as replay:
        assert await replay.end() == 0
    await broker.stop()
    async with a_relay("--replay", "--since", LONG_AGO.isoformat()) as failed:
        assert await failed.end() == 1

    assert replay.out == ["1 events were published again, the stream had 0, and refused 0.\n"]
    assert failed.err == [
        "The broker is not available: it refuses the connection: no program listens on its port.\n"
    ]


@pytest.mark.parametrize(
    "arguments",
    [["--replay"], ["--since", LONG_AGO.isoformat()], ["--replay", "--since", "2026-01-01"]],
    ids=["without a time", "without replay", "without a time zone"],
)
def test_replay_requires_a_time_with_a_zone(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["relay", *arguments])

    assert ended.value.code == 2
    assert "--since" in capsys.readouterr().err
