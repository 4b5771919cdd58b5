# SPDX-License-Identifier: MIT
"""The message of an event, byte by byte."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from service.application.outbox import OutboxEvent
from service.relay.messages import Message, build_message, parse_headers

EVENT = OutboxEvent(
    id=UUID("01a2155d-b22b-738b-9a82-dee0e3363f83"),
    user_id=UUID("66f5d6bc-84ba-4a08-aad6-8180c47cfbeb"),
    session_id=UUID("01a2155d-0000-738b-9a82-dee0e3363f83"),
    session_version=3,
    type="session_failed",
    data={"reason": "shoulder pain"},
    occurred_at=datetime(2026, 11, 22, 9, 0, 0, 250_000, tzinfo=UTC),
    request_id="phone-7",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
WRITTEN = (
    b"NATS/1.0\r\n"
    b"Nats-Msg-Id: 1\r\n"
    b"ce-specversion: 1.0\r\n"
    b"ce-id: 01a2155d-b22b-738b-9a82-dee0e3363f83\r\n"
    b"ce-source: /gym\r\n"
    b"ce-type: training.session.v1.failed\r\n"
    b"ce-subject: 01a2155d-0000-738b-9a82-dee0e3363f83\r\n"
    b"ce-time: 2026-11-22T09:00:00.250000Z\r\n"
    b"ce-datacontenttype: application/json\r\n"
    b"ce-requestid: phone-7\r\n"
)
TRACE = b"ce-traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"


def a_message(**overrides: Any) -> Message:
    return build_message(EVENT._replace(**overrides), "/gym", "Nats-Msg-Id: 1\r\n")


@pytest.mark.parametrize(
    ("traceparent", "trace"), [(EVENT.traceparent, TRACE), (None, b"")], ids=["traced", "not"]
)
def test_the_headers_are_those_of_a_cloud_event(traceparent: str | None, trace: bytes) -> None:
    assert a_message(traceparent=traceparent).headers == WRITTEN + trace + b"\r\n"


def test_the_payload_holds_the_data_and_whose_they_are() -> None:
    assert orjson.loads(a_message().payload) == {
        "reason": "shoulder pain",
        "sessionId": "01a2155d-0000-738b-9a82-dee0e3363f83",
        "userId": "66f5d6bc-84ba-4a08-aad6-8180c47cfbeb",
        "sessionVersion": 3,
    }


def test_data_cannot_exchange_whose_they_are() -> None:
    payload = orjson.loads(a_message(data={"userId": "somebody", "rpe": None}).payload)
    assert (payload["userId"], payload["rpe"]) == (str(EVENT.user_id), None)


def test_the_subject_names_the_session_its_version_and_the_kind() -> None:
    assert a_message().subject == f"training.session.v1.{EVENT.session_id}.3.failed"
    assert (
        a_message(session_version=4).subject == f"training.session.v1.{EVENT.session_id}.4.failed"
    )


def test_a_line_end_in_a_text_begins_no_header() -> None:
    headers = parse_headers(a_message(request_id="a\r\nce-id: b", traceparent="c\nd").headers)
    assert headers["ce-requestid"] == "a  ce-id: b"
    assert headers["ce-traceparent"] == "c d"
    assert headers["ce-id"] == str(EVENT.id)


def test_a_printable_text_stays_as_it_is() -> None:
    assert parse_headers(a_message(request_id="phone 7: é").headers)["ce-requestid"] == "phone 7: é"


def test_counts_the_bytes_of_headers_and_payload() -> None:
    message = Message(subject="knee", headers="é".encode(), payload=b"{}")
    assert message.size == 4


@pytest.mark.parametrize(
    ("reply", "command"),
    [
        ("inbox.1", b"HPUB knee inbox.1 2 4\r\nh\n{}\r\n"),
        ("", b"HPUB knee  2 4\r\nh\n{}\r\n"),
    ],
)
def test_writes_the_command_of_the_protocol(reply: str, command: bytes) -> None:
    message = Message(subject="knee", headers=b"h\n", payload=b"{}")
    assert message.publish_command(reply=reply) == command
    assert message.publish_command() == b"HPUB knee  2 4\r\nh\n{}\r\n"


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (b"NATS/1.0\r\nce-id: 7\r\n\r\n", {"ce-id": "7", "": ""}),
        (b"NATS/1.0\r\nce-id:7\r\nce-id: 8\r\n\r\n", {"ce-id": "7", "": ""}),
        (b"NATS/1.0\r\ntime: 09:00\r\n\r\n", {"time": "09:00", "": ""}),
        (b"NATS/1.0\r\nce-id: \xff\r\n\r\n", {"ce-id": "\ufffd", "": ""}),
        (b"", {}),
        (b"NATS/1.0\r\nce-id: 7", {}),
        (b'NATS/1.0\r\nce-id: 7\r\n\r\n{"re', {}),
    ],
    ids=["one", "repeated", "colon", "no UTF-8", "none", "too short", "too long"],
)
def test_reads_headers_as_they_were_written(raw: bytes, headers: dict[str, str]) -> None:
    assert parse_headers(raw) == headers
