# SPDX-License-Identifier: MIT
"""The stream holds another message in the place of an event: nothing is lost in silence."""

import json
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.domain.session import Session
from service.relay.batch import BLOCKED
from service.relay.delivery import ATOMIC_MIN
from service.relay.replay import Replayed
from tests.builders import a_session
from tests.nats_server import NatsServer
from tests.relay.conftest import Relay, StartRelay, is_empty
from tests.relay.queue import an_event, many_events
from tests.running import TestDatabase, eventually

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

Make = Callable[[TestDatabase, NatsServer, Relay], Awaitable[tuple[Session, UUID]]]
"""Queues an event whose place in the stream another message has; returns the event."""


async def after_a_restore(
    database: TestDatabase, _: NatsServer, relay: Relay
) -> tuple[Session, UUID]:
    """An event was published and then lost from the database; the session failed again."""
    session = await database.a_session()
    lost = await an_event(database, session, 2)
    await relay()
    await database.execute("DELETE FROM events WHERE id = $1", lost)
    return session, await an_event(database, session, 2)


async def with_the_session_id_of_another_user(
    database: TestDatabase, _: NatsServer, relay: Relay
) -> tuple[Session, UUID]:
    first = await database.a_session()
    await an_event(database, first, 2)
    await relay()
    second = await database.a_session(id=first.id)
    return second, await an_event(database, second, 2)


async def with_the_id_of_an_event_of_another_session(
    database: TestDatabase, _: NatsServer, relay: Relay
) -> tuple[Session, UUID]:
    first, second = await database.a_session(), await database.a_session()
    event_id = await an_event(database, first, 2)
    await relay()
    return second, await an_event(database, second, 2, event_id=event_id)


def after_somebody_published(
    payload: bytes, headers: dict[str, str] | None, *, of_the_event: tuple[str, ...] = ()
) -> Make:
    """`of_the_event`: headers in which the other message has the id of the event."""

    async def make(database: TestDatabase, broker: NatsServer, _: Relay) -> tuple[Session, UUID]:
        session = await database.a_session()
        event_id = await an_event(database, session, 2)
        given = (headers or {}) | {name: str(event_id) for name in of_the_event}
        await broker.publish(subject_of(session), payload, given or None)
        return session, event_id

    return make


async def after_somebody_published_its_message_id_elsewhere(
    database: TestDatabase, broker: NatsServer, _: Relay
) -> tuple[Session, UUID]:
    session = await database.a_session()
    event_id = await an_event(database, session, 2)
    await broker.publish(
        subject_of(a_session()), b"a knee that hurts", {"Nats-Msg-Id": str(event_id)}
    )
    return session, event_id


def subject_of(session: Session) -> str:
    return f"training.session.v1.{session.id}.{session.version + 1}.failed"


CASES: dict[str, tuple[Make, str]] = {
    "restored": (after_a_restore, "has its subject and is another event"),
    "session of another user": (
        with_the_session_id_of_another_user,
        "has its subject and is another event",
    ),
    "id of another event": (
        with_the_id_of_an_event_of_another_session,
        "has its Nats-Msg-Id and has other content",
    ),
    "message without headers": (
        after_somebody_published(b"a knee that hurts", None),
        "has its subject and is not an event",
    ),
    "message without an event id": (
        after_somebody_published(b"{}", {"ce-type": "training.session.v1.failed"}),
        "has its subject and is not an event",
    ),
    "foreign id": (
        after_somebody_published(b"{}", {"ce-id": str(uuid4())}),
        "has its subject and is another event",
    ),
    "its id with other content": (
        after_somebody_published(b'{"reason": null}', None, of_the_event=("ce-id",)),
        "has its subject and has other content",
    ),
    "its id with text that nests too deeply": (
        after_somebody_published(
            b"[" * 500 + b"]" * 500, None, of_the_event=("ce-id", "Nats-Msg-Id")
        ),
        "has its subject and has other content",
    ),
    "its message id elsewhere": (
        after_somebody_published_its_message_id_elsewhere,
        "has its Nats-Msg-Id and is not an event",
    ),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@each_case
async def test_parks_an_event_whose_place_another_message_has(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    settings: RelaySettings,
    case: tuple[Make, str],
) -> None:
    make, reason = case
    session, event_id = await make(database, stream, relay)
    behind = await an_event(database, session, 3, type="session_praised")

    turns = await relay()

    assert [(each.event_id, each.reason) for each in await relaying.parked(settings)] == [
        (event_id, f"message 1 of the stream {reason}"),
        (behind, BLOCKED),
    ]
    assert sum(turn.conflicts for turn in turns) == 1
    assert sum(turn.parked for turn in turns) == 2
    assert await stream.count() == 1


@each_case
async def test_publishes_the_other_events_of_a_batch_with_a_conflict(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    settings: RelaySettings,
    case: tuple[Make, str],
) -> None:
    make, reason = case
    _, event_id = await make(database, stream, relay)
    others = await many_events(database, sessions=ATOMIC_MIN)

    turns = await relay()

    assert [(each.event_id, each.reason) for each in await relaying.parked(settings)] == [
        (event_id, f"message 1 of the stream {reason}")
    ]
    assert set((await stream.ids())[1:]) == {*map(str, others)}
    assert [turn.conflicts for turn in turns if turn.published] == [1]


@each_case
async def test_a_replay_reports_conflicts_and_publishes_the_rest(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    settings: RelaySettings,
    case: tuple[Make, str],
) -> None:
    make, _ = case
    session, _ = await make(database, stream, relay)
    await an_event(database, session, 3, type="session_praised")
    others = await many_events(database, sessions=ATOMIC_MIN)
    [before] = await stream.ids()
    is_event = "SELECT count(*) FROM events WHERE id::text = $1 AND user_id <> $2"
    present = await database.value(is_event, before, session.user_id)
    await database.execute("DELETE FROM outbox")

    done = await relaying.publish_history(settings, LONG_AGO)

    assert done == Replayed(published=ATOMIC_MIN, present=present, conflicts=1, blocked=1)
    assert set((await stream.ids())[1:]) == {*map(str, others)}
    assert not await relaying.parked(settings), "a replay leaves the queue as it is"


async def test_an_event_is_published_once_its_place_is_free(
    database: TestDatabase, stream: NatsServer, relay: Relay, settings: RelaySettings
) -> None:
    _, event_id = await after_a_restore(database, stream, relay)
    await relay()
    await stream.delete_message(1)

    assert await relaying.retry_parked(settings) == 1
    await relay()

    assert await stream.ids() == [str(event_id)]


async def test_an_event_is_parked_again_while_its_place_is_taken(
    database: TestDatabase, stream: NatsServer, relay: Relay, settings: RelaySettings
) -> None:
    _, event_id = await after_a_restore(database, stream, relay)
    await relay()

    assert await relaying.retry_parked(settings) == 1
    [turn] = [turn for turn in await relay() if turn.parked]

    assert turn.conflicts == 1
    assert [each.event_id for each in await relaying.parked(settings)] == [event_id]


@pytest.mark.parametrize("others", [0, ATOMIC_MIN], ids=["alone", "in a batch"])
@pytest.mark.parametrize("shared", ["event", "session"])
async def test_of_two_users_with_one_id_in_one_turn_one_is_parked(
    database: TestDatabase, stream: NatsServer, relay: Relay, shared: str, others: int
) -> None:
    """Ids are unique only within a user."""
    first = await database.a_session()
    facts = {"id": first.id} if shared == "session" else {}
    second = await database.a_session(**facts)
    event_id = uuid4() if shared == "event" else None
    for session in (first, second):
        await an_event(database, session, 2, event_id=event_id)
    await many_events(database, sessions=others)

    turns = await relay()

    parked = await database.fetch("SELECT user_id, event_id FROM parked_events")
    stored = [each.payload["userId"] for each in await stream.stored()]
    assert len(parked) == sum(turn.conflicts for turn in turns) == 1
    assert len(stored) == 1 + others
    users = {str(first.user_id), str(second.user_id)}
    assert {str(parked[0]["user_id"])} ^ (users & set(stored)) == users


async def test_logs_a_conflict_as_an_error_without_data(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_relay: StartRelay
) -> None:
    session, event_id = await after_a_restore(database, stream, relay)

    async with a_relay() as process:
        line = json.loads(await process.line("in conflict"))
        await eventually(lambda: is_empty(database))
        process.signal(signal.SIGTERM)
        assert await process.end() == 0

    assert line["level"] == "error"
    assert line["reason"] == "message 1 of the stream has its subject and is another event"
    assert (line["event_id"], line["session_id"]) == (str(event_id), str(session.id))
    assert (line["subject"], line["stream_sequence"]) == (subject_of(session), 1)
    assert "shoulder" not in process.output
    assert "events parked" not in process.output, "one line is enough"


async def test_the_command_line_fails_if_a_replay_meets_a_conflict(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_relay: StartRelay
) -> None:
    await after_a_restore(database, stream, relay)
    await database.execute("DELETE FROM outbox")

    async with a_relay("--replay", "--since", LONG_AGO.isoformat()) as replay:
        assert await replay.end() == 1

    *conflicts, last = replay.out
    assert [json.loads(line)["stream_sequence"] for line in conflicts] == [1]
    assert last == "0 events were published again, the stream had 0, and refused 0.\n"
    [sentence] = replay.err
    assert sentence.startswith("1 events are in conflict with other messages of the stream,")
