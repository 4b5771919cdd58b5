# SPDX-License-Identifier: MIT
"""The metrics of a real relay: what it did, what is in its queue, and who leads."""

import signal

import pytest

from service.persistence.outbox import TURN_LOCK
from tests.freezing import freeze
from tests.nats_server import NatsServer
from tests.relay.conftest import LONG_LEASE, StartRelay, is_empty
from tests.relay.queue import an_event, many_events
from tests.relay.watched import watched
from tests.running import TestDatabase, eventually


@pytest.mark.usefixtures("stream")
async def test_counts_published_events_and_those_that_the_stream_had(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    async with watched(a_relay) as relay:
        await relay.until_shown(leader=1, pending_events=0)
        await many_events(database, sessions=3)
        await relay.until_shown(published_events_total=3, duplicate_events_total=0)
        await database.execute(
            "INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM events LIMIT 2"
        )
        found = await relay.until_shown(published_events_total=3, duplicate_events_total=2)

    assert found["training_relay_commit_to_ack_seconds_count"] == 3
    assert found["training_relay_turn_duration_seconds_count"] == 2
    assert found["training_relay_commit_to_ack_seconds_sum"] > 0
    assert found["training_relay_state active"] == found["training_ready"] == 1
    assert found["process_resident_memory_bytes"] > 0
    assert any(name.startswith("training_build_info") for name in found)


async def test_counts_parked_and_conflicting_events(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    session, other = await database.a_session(), await database.a_session()
    await stream.publish(f"training.session.v1.{session.id}.2.failed", b"a knee that hurts")
    await an_event(database, session, 2)
    await database.execute(
        "INSERT INTO outbox (user_id, event_id) VALUES ($1, gen_random_uuid())", other.user_id
    )
    async with watched(a_relay) as relay:
        await relay.until_shown(
            parked_events_total=2, conflicting_events_total=1, published_events_total=0
        )
        await relay.until_shown(parked_events=2, pending_events=0)


async def test_shows_the_queue_while_the_broker_is_away(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    await stream.stop()
    event = await an_event(database, await database.a_session(), 1)
    at = await database.value("SELECT occurred_at FROM events WHERE id = $1", event)
    async with watched(a_relay) as relay:
        found = await relay.until_shown(
            pending_events=1, oldest_event_timestamp_seconds=at.timestamp()
        )
        assert found["training_relay_state broker unavailable"] == 1
        assert found["training_ready"] == 0
        await stream.start()
        await eventually(lambda: is_empty(database))
        await relay.until_shown(pending_events=0)

        assert "oldest_event_timestamp_seconds" not in await relay.queue()


@pytest.mark.usefixtures("stream")
async def test_the_leader_shows_the_queue_while_a_command_of_an_operator_has_its_turn(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    await many_events(database, sessions=1200)
    operator = await database.connect()
    await operator.execute(f"SELECT pg_advisory_lock({TURN_LOCK})")
    async with watched(a_relay) as relay:
        await relay.until_shown(leader=1, pending_events=1200)
        assert "oldest_event_timestamp_seconds" in await relay.queue()
        assert await relay.answer("/readyz") == (200, "active")
        await operator.close()
        await relay.until_shown(published_events_total=1200, pending_events=0)


@pytest.mark.usefixtures("stream")
async def test_a_standby_shows_no_queue_and_takes_over(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    async with watched(a_relay, **LONG_LEASE) as first:
        await first.until_shown(leader=1, pending_events=0)
        async with watched(a_relay, **LONG_LEASE) as second:
            await second.until_shown(**{"state standby": 1, "leader": 0})
            assert await second.queue() == {}
            assert first.process
            first.process.signal(signal.SIGKILL)
            await second.until_shown(**{"state active": 1, "leader": 1, "pending_events": 0})
            await many_events(database, sessions=2)
            await second.until_shown(published_events_total=2)


@pytest.mark.usefixtures("stream")
async def test_a_relay_that_lost_the_leadership_shows_no_queue(a_relay: StartRelay) -> None:
    async with watched(a_relay) as first:
        await first.until_shown(leader=1, pending_events=0)
        async with watched(a_relay) as second:
            await second.until_shown(leader=0)
            assert first.process
            await freeze(first.process.running.pid)
            await second.until_shown(leader=1, pending_events=0)
            first.process.signal(signal.SIGCONT)
            await first.until_shown(**{"state standby": 1, "leader": 0})

            assert await first.queue() == {}
