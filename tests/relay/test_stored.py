# SPDX-License-Identifier: MIT
"""Comparison of an event with a message of the stream."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from service.relay.messages import Message, build_message, parse_headers
from service.relay.stored import StoredMessage, find_difference
from tests.relay.publishing import an_outbox_event

EVENT = an_outbox_event(uuid4())


def a_message(source: str = "/gym", more: str = "") -> Message:
    return build_message(EVENT, source, more)


def stored(
    payload: bytes | None = None, headers: dict[str, str | None] | None = None, **facts: Any
) -> StoredMessage:
    """The message of the event, with changed headers; None removes one."""
    message = a_message()
    changed = parse_headers(message.headers) | (headers or {})
    given: dict[str, Any] = {
        "sequence": 1,
        "subject": message.subject,
        "headers": {name: value for name, value in changed.items() if value is not None},
        "payload": message.payload if payload is None else payload,
        "stored_at": datetime.now(UTC),
    }
    return StoredMessage(**given | facts)


def changed_data(**changes: Any) -> bytes:
    return json.dumps(json.loads(a_message().payload) | changes).encode()


SAME: dict[str, StoredMessage] = {
    "itself": stored(),
    "in another order and with spaces": stored(
        json.dumps(json.loads(a_message().payload), sort_keys=True, indent=2).encode()
    ),
    "on another subject": stored(subject=f"training.session.v1.{EVENT.session_id}.2.failed"),
    "from another source": stored(headers={"ce-source": "/another-gym"}),
    "without its message id": stored(headers={"Nats-Msg-Id": None}),
    "from a batch": stored(headers={"Nats-Batch-Id": "7", "Nats-Batch-Sequence": "1"}),
    "without its trace": stored(headers={"ce-traceparent": None, "ce-requestid": "phone-8"}),
}


@pytest.mark.parametrize("found", SAME.values(), ids=SAME.keys())
def test_an_event_is_the_same_whatever_its_envelope(found: StoredMessage) -> None:
    assert find_difference(found, a_message(more="Nats-Msg-Id: 7\r\n")) is None


NOT_AN_EVENT, ANOTHER, CONTENT = "is not an event", "is another event", "has other content"
DIFFERENT: dict[str, tuple[StoredMessage, str]] = {
    "no headers": (stored(headers=dict.fromkeys(parse_headers(a_message().headers))), NOT_AN_EVENT),
    "no id": (stored(headers={"ce-id": None}), NOT_AN_EVENT),
    "an id in other letters": (stored(headers={"ce-id": None, "CE-ID": "7"}), NOT_AN_EVENT),
    "another id": (stored(headers={"ce-id": str(uuid4())}), ANOTHER),
    "another type": (stored(headers={"ce-type": "training.session.v1.started"}), CONTENT),
    "no type": (stored(headers={"ce-type": None}), CONTENT),
    "another session": (stored(headers={"ce-subject": str(uuid4())}), CONTENT),
    "another time": (stored(headers={"ce-time": "2026-11-22T09:00:01Z"}), CONTENT),
    "another user": (stored(changed_data(userId=str(uuid4()))), CONTENT),
    "another version": (stored(changed_data(sessionVersion=2)), CONTENT),
    "true for 1": (stored(changed_data(sessionVersion=True)), CONTENT),
    "another reason": (stored(changed_data(reason=None)), CONTENT),
    "more data": (stored(changed_data(weight=80)), CONTENT),
    "no data": (stored(b""), CONTENT),
    "text": (stored(b"a knee that hurts"), CONTENT),
    "bytes": (stored(b"\xff\xfe"), CONTENT),
    "deep arrays": (stored(b"[" * 400 + b"]" * 400), CONTENT),
    "a list": (stored(b"[]"), CONTENT),
}


@pytest.mark.parametrize(("found", "difference"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_finds_a_difference_of_the_facts(found: StoredMessage, difference: str) -> None:
    assert find_difference(found, a_message()) == difference


def test_of_a_repeated_header_the_first_counts() -> None:
    raw = b"NATS/1.0\r\nce-id: 7\r\nce-id: 8\r\nempty:\r\nodd\r\nurl: nats://gym\r\n\r\n"

    headers = parse_headers(raw)

    assert (headers["ce-id"], headers["empty"], headers["odd"]) == ("7", "", "")
    assert headers["url"] == "nats://gym"


def test_reads_a_message_as_the_server_answers_it() -> None:
    answer = {
        "seq": 7,
        "subject": "training.session.v1.knee",
        "hdrs": b64encode(b"NATS/1.0\r\nce-id: 7\r\n\r\n").decode(),
        "data": b64encode(b"{}").decode(),
        "time": "2026-11-22T09:00:00Z",
    }

    message = StoredMessage.from_answer(answer)

    assert (message.sequence, message.subject) == (7, "training.session.v1.knee")
    assert (message.event_id, message.payload) == ("7", b"{}")
    assert message.stored_at == datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def test_reads_a_message_without_headers_and_payload() -> None:
    answer = {"seq": 7, "subject": "training", "time": "2026-11-22T09:00:00Z"}

    message = StoredMessage.from_answer(answer)

    assert (message.headers, message.payload, message.event_id) == ({}, b"", None)
