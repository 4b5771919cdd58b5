# SPDX-License-Identifier: MIT
"""python -m service relay --audit: compares the events of the database with the stream."""

import json
import re
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.domain.session import Session
from service.relay import event_audit, message_audit
from service.relay.audit import Audited
from service.relay.findings import Finding, Kind
from tests.documents.blocks import block
from tests.documents.console import shown_in
from tests.nats_server import NatsServer, Stored
from tests.relay.conftest import Relay, StartRelay, is_empty
from tests.relay.queue import an_event, many_events
from tests.running import TestDatabase, eventually

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

Audit = Callable[..., Awaitable[tuple[Audited, list[Finding]]]]


@pytest.fixture
def audit(settings: RelaySettings) -> Audit:
    async def run(since: datetime = LONG_AGO) -> tuple[Audited, list[Finding]]:
        found: list[Finding] = []
        return await relaying.audit_stream(settings, since, found.append), found

    return run


@pytest.fixture
async def session(database: TestDatabase, stream: NatsServer, relay: Relay) -> Session:
    """A session whose three events are in the stream."""
    session = await database.a_session()
    for version in (1, 2, 3):
        await an_event(database, session, version, type=f"session_step_{version}")
    await relay()
    return session


def kinds(found: list[Finding]) -> list[str]:
    return sorted(str(each.kind) for each in found)


async def publish_again(
    stream: NatsServer, stored: Stored, *, subject: str | None = None, **headers: str
) -> int:
    """Publishes a message as another program, with other headers."""
    given = {name: value for name, value in stored.headers.items() if not name.startswith("Nats-")}
    payload = json.dumps(stored.payload).encode()
    return await stream.publish(subject or stored.subject, payload, given | headers)


async def test_finds_nothing_if_all_is_well(
    database: TestDatabase, stream: NatsServer, relay: Relay, audit: Audit, session: Session
) -> None:
    await many_events(database, sessions=50, each=3)
    await relay()
    await an_event(database, await database.a_session(), 1)

    done, found = await audit()

    assert (found, done.events, done.messages) == ([], 153, 153)
    assert done.left_out.pending == 1


async def test_goes_through_all_pages(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    audit: Audit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (event_audit, message_audit):
        monkeypatch.setattr(module, "PAGE_SIZE", 4)
    await many_events(database, sessions=5, each=3)
    await relay()
    await stream.delete_message(6)
    await stream.publish("training.session.v1.gym.2.failed", b"a knee that hurts")

    done, found = await audit()

    assert (done.events, done.messages) == (15, 15)
    assert kinds(found) == ["foreign", "lost"]


async def test_an_event_without_a_message_is_lost(
    stream: NatsServer, audit: Audit, session: Session
) -> None:
    await stream.delete_message(2)

    _, [finding] = await audit()

    assert finding.kind == Kind.LOST
    assert finding.text.endswith(f", session_step_2, version 2 of session {session.id}")


async def test_every_event_of_a_purged_stream_is_lost(
    stream: NatsServer, audit: Audit, session: Session
) -> None:
    await stream.purge_stream()

    done, found = await audit()

    assert (kinds(found), done.messages) == (["lost"] * 3, 0)


async def test_a_replay_brings_back_what_is_lost(
    stream: NatsServer, settings: RelaySettings, audit: Audit, session: Session
) -> None:
    await stream.purge_stream()
    await relaying.publish_history(settings, LONG_AGO)

    assert (await audit())[1] == []


async def test_an_event_whose_place_another_message_has_is_lost(
    stream: NatsServer, audit: Audit, session: Session
) -> None:
    stored = (await stream.stored())[1]
    await stream.delete_message(2)
    sequence = await publish_again(stream, stored, **{"ce-id": str(uuid4())})

    _, found = await audit()

    assert kinds(found) == ["foreign", "lost"]
    [lost] = [each for each in found if each.kind == Kind.LOST]
    assert lost.text.endswith(f"message {sequence} has its subject and is another event")


FOREIGN: dict[str, tuple[dict[str, Any], str]] = {
    "no user": ({"payload": {"reason": "a knee that hurts"}}, "is not an event"),
    "a list": ({"payload": []}, "is not an event"),
    "a text": ({"payload": "a knee that hurts"}, "is not an event"),
    "a user that is no UUID": ({"payload": {"userId": 7}}, "is not an event"),
    "an id that is no UUID": ({"ce-id": "7"}, "is not an event"),
    "an unknown id": ({"ce-id": str(uuid4())}, "the database has no such event"),
    "another type": ({"ce-type": "training.session.v1.failed"}, "has other content"),
    "the subject of another session": ({}, "has the subject of another event"),
}


@pytest.mark.parametrize(("changes", "text"), FOREIGN.values(), ids=FOREIGN.keys())
async def test_a_message_that_is_no_event_of_the_database_is_foreign(
    stream: NatsServer, audit: Audit, session: Session, changes: dict[str, Any], text: str
) -> None:
    changes = dict(changes)
    stored = (await stream.stored())[1]
    await stream.delete_message(2)
    subject = f"training.session.v1.{uuid4()}.2.step_2"
    changed = replace(stored, payload=changes.pop("payload", stored.payload))
    sequence = await publish_again(stream, changed, subject=subject, **changes)

    _, found = await audit()

    assert kinds(found) == ["foreign", "lost"]
    [foreign] = [each for each in found if each.kind == Kind.FOREIGN]
    assert foreign.text == f"message {sequence}, {subject}: {text}"


async def test_a_message_whose_event_the_database_lost_is_foreign(
    database: TestDatabase, stream: NatsServer, relay: Relay, audit: Audit, session: Session
) -> None:
    """As after a restore: the session has another event now, which is parked."""
    await database.execute("DELETE FROM events WHERE session_version = 3")
    await an_event(database, session, 3, type="session_step_3")
    await relay()

    done, [finding] = await audit()

    assert finding.kind == Kind.FOREIGN
    assert finding.text.startswith("message 3, ")
    assert done.left_out.parked == 1


@pytest.mark.parametrize(
    ("pruned_before", "is_foreign"),
    [(timedelta(hours=1), False), (timedelta(hours=-1), True), (None, True)],
    ids=["pruned", "younger than what was pruned", "nothing was pruned"],
)
async def test_a_message_without_an_event_is_foreign_unless_the_event_may_have_been_pruned(
    database: TestDatabase,
    audit: Audit,
    session: Session,
    pruned_before: timedelta | None,
    is_foreign: bool,
) -> None:
    if pruned_before:
        await database.execute(
            "INSERT INTO prunings VALUES (now() + $1, now()), ('2020-01-01Z', now())",
            pruned_before,
        )
    await database.execute("DELETE FROM events WHERE session_version < 3")

    done, found = await audit()

    assert kinds(found) == (["foreign"] * 2 if is_foreign else [])
    assert (done.events, done.messages, done.pruned) == (1, 3, 0 if is_foreign else 2)


@pytest.mark.parametrize("time", [None, "at nine", "2020-01-01T09:00:00"])
async def test_a_message_without_a_time_is_foreign_also_after_a_pruning(
    database: TestDatabase, stream: NatsServer, audit: Audit, session: Session, time: str | None
) -> None:
    await database.execute("INSERT INTO prunings VALUES (now() + interval '1 hour', now())")
    stored = (await stream.stored())[1]
    headers = {name: value for name, value in stored.headers.items() if name != "ce-time"}
    await publish_again(
        stream,
        replace(stored, headers=headers),
        subject="training.session.v1.gym.2.failed",
        **{"ce-id": str(uuid4())} | ({"ce-time": time} if time else {}),
    )

    _, [finding] = await audit()

    assert finding.text.endswith("the database has no such event")


@pytest.mark.parametrize("subject", [None, "training.session.v1.gym.2.step_2"])
async def test_a_copy_of_a_message_is_doubled(
    stream: NatsServer, audit: Audit, session: Session, subject: str | None
) -> None:
    stored = (await stream.stored())[1]
    sequence = await publish_again(stream, stored, subject=subject)

    _, found = await audit()

    [doubled] = [each for each in found if each.kind == Kind.DOUBLED]
    assert f"version 2 of session {session.id}" in doubled.text
    first, last = (2, sequence) if subject else (sequence, 2)
    assert doubled.text.startswith(f"message {last} repeats message {first}: ")


async def test_an_event_before_an_earlier_one_of_its_session_is_out_of_order(
    stream: NatsServer, audit: Audit, session: Session
) -> None:
    stored = (await stream.stored())[0]
    await stream.delete_message(1)
    assert await publish_again(stream, stored) == 4

    _, found = await audit()

    assert kinds(found) == ["out of order"] * 2
    assert [each.text[:10] for each in found] == ["message 2:", "message 3:"]


async def test_events_older_than_the_stream_keeps_messages_are_not_missed(
    database: TestDatabase, broker: NatsServer, audit: Audit, settings: RelaySettings
) -> None:
    await broker.make_stream(max_age=3600)
    old, new = [await an_event(database, await database.a_session(), version) for version in (1, 2)]
    await database.execute("DELETE FROM outbox")
    await database.execute(
        "UPDATE events SET occurred_at = now() - interval '2 hours' WHERE id = $1", old
    )

    _, [finding] = await audit()

    assert (finding.kind, str(new) in finding.text) == (Kind.LOST, True)


async def test_looks_only_at_events_and_messages_since_a_time(
    database: TestDatabase, stream: NatsServer, relay: Relay, audit: Audit, session: Session
) -> None:
    await stream.publish("training.session.v1.gym.2.failed", b"a knee that hurts")
    await stream.delete_message(1)
    since = datetime.now(UTC)
    await an_event(database, await database.a_session(), 1)
    await relay()

    done, found = await audit(since)

    assert (found, done.events, done.messages) == ([], 1, 1)


async def test_an_event_that_is_published_and_still_queued_is_well(
    database: TestDatabase, stream: NatsServer, audit: Audit, session: Session
) -> None:
    """As after a crash of the relay behind the acknowledgement."""
    await database.execute("INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM events")

    done, found = await audit()

    assert (found, done.events, done.messages, done.left_out.pending) == ([], 0, 3, 3)


async def test_leaves_other_subjects_of_the_stream_alone(
    database: TestDatabase, broker: NatsServer, relay: Relay, audit: Audit
) -> None:
    await broker.make_stream(subjects=["training.>"])
    for _ in range(2):
        await broker.publish("training.gym.opened", b"at nine")
    await many_events(database, sessions=3)
    await relay()

    done, found = await audit()

    assert (found, done.messages) == ([], 3)


async def test_finds_nothing_beside_a_running_relay(
    database: TestDatabase, stream: NatsServer, audit: Audit, a_relay: StartRelay
) -> None:
    async with a_relay(relay_batch_size=50) as process:
        await process.line("active")
        audited: list[Finding] = []
        for _ in range(5):
            await many_events(database, sessions=100, each=3)
            _, found = await audit()
            audited += found
        await eventually(lambda: is_empty(database))

    assert audited == []
    done, found = await audit()
    assert (found, done.events, done.messages) == ([], 1500, 1500)


async def test_the_command_line_prints_what_differs_and_fails(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay, session: Session
) -> None:
    async with a_relay("--audit") as well:
        assert await well.end() == 0
    await stream.publish("training.session.v1.\x1b[31mgym.2.failed", b"a knee that hurts")
    async with a_relay("--audit", "--since", LONG_AGO.isoformat()) as process:
        assert await process.end() == 1

    assert well.out == [
        "3 events and 3 messages were compared: 0 lost, 0 foreign, 0 doubled, 0 out of order.\n",
        "0 queued and 0 parked events were left out.\n",
    ]
    assert process.out[:2] == [
        "foreign: message 4, training.session.v1.?[31mgym.2.failed: is not an event\n",
        "3 events and 4 messages were compared: 0 lost, 1 foreign, 0 doubled, 0 out of order.\n",
    ]
    assert (well.err, process.err) == ([], ["docs/events.md#audit says what to do.\n"])


async def test_the_command_line_prints_an_audit_as_the_documentation_shows_it(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    await an_event(database, await database.a_session(), 3)
    await database.execute("DELETE FROM outbox")
    [shown] = shown_in(block("docs/events.md", "$ python -m service relay --audit"))

    async with a_relay(*shlex.split(shown.typed)[4:]) as process:
        assert await process.end() == 1

    printed = "".join([*process.out, *process.err])
    assert _without_numbers(printed) == _without_numbers(shown.output)


def _without_numbers(text: str) -> str:
    """The last of the ids in the page is cut off."""
    return re.sub(r"\d+", "N", re.sub(r"[\da-f]{8}-[\da-f…-]+", "ID", text))


async def test_the_command_line_names_an_outage(
    database: TestDatabase, broker: NatsServer, a_relay: StartRelay
) -> None:
    async with a_relay("--audit") as process:
        assert await process.end() == 1

    assert process.err == [
        "The broker is not available: the stream TRAINING_SESSIONS is missing.\n"
    ]
