# SPDX-License-Identifier: MIT
"""Builds messages from events: CloudEvents 1.0 in binary mode over NATS. Pure.

CloudEvents core specification 1.0.2, its NATS protocol binding, and its extension for distributed
tracing. docs/events.md and docs/asyncapi.yaml describe the result for consumers.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from service.application.outbox import OutboxEvent

SUBJECTS = "training.session.v1.>"
SUBJECT = "training.session.v1.*.*.*"
"""The subject of an event ends with its session, the session's version, and its kind."""

_TYPE = "training.session.v1"
_LINE_ENDS_TO_SPACES = str.maketrans("\r\n", "  ")


@dataclass(frozen=True, slots=True)
class Message:
    """`headers` are the bytes on the wire."""

    subject: str
    headers: bytes
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes as the broker counts them: headers and payload."""
        return len(self.headers) + len(self.payload)

    def publish_command(self, *, reply: str = "") -> bytes:
        """The command of the NATS client protocol that publishes the message."""
        command = f"HPUB {self.subject} {reply} {len(self.headers)} {self.size}\r\n"
        return b"".join((command.encode(), self.headers, self.payload, b"\r\n"))


def build_message(event: OutboxEvent, source: str, headers: str) -> Message:
    """`headers`: further header lines, each with its line end.

    No two events share a subject, though a session may have several events of a kind: each event
    raises the session's version.
    """
    kind = event.type.removeprefix("session_")
    return Message(
        subject=f"{_TYPE}.{event.session_id!s}.{event.session_version}.{kind}",
        headers=f"NATS/1.0\r\n{headers}{_attributes(event, kind, source)}\r\n".encode(),
        payload=_payload(event),
    )


def subjects_of_session(session_id: UUID) -> str:
    """Matches the subjects of all events of the session."""
    return f"{_TYPE}.{session_id!s}.>"


def parse_headers(raw: bytes) -> dict[str, str]:
    """Headers from the bytes on the wire. If a name is repeated, its first value counts.

    Empty if the bytes do not end as headers do: a disk has changed their length, which the broker's
    checksum does not cover, and clients cannot read them either.
    """
    found: dict[str, str] = {}
    if not raw.endswith(b"\r\n\r\n"):
        return found
    for line in raw.decode(errors="replace").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        found.setdefault(name, value.strip())
    return found


def _attributes(event: OutboxEvent, kind: str, source: str) -> str:
    trace = f"ce-traceparent: {_one_line(event.traceparent)}\r\n" if event.traceparent else ""
    return (
        "ce-specversion: 1.0\r\n"
        f"ce-id: {event.id!s}\r\n"
        f"ce-source: {source}\r\n"
        f"ce-type: {_TYPE}.{kind}\r\n"
        f"ce-subject: {event.session_id!s}\r\n"
        f"ce-time: {_timestamp(event.occurred_at)}\r\n"
        "ce-datacontenttype: application/json\r\n"
        f"ce-requestid: {_one_line(event.request_id)}\r\n"
        f"{trace}"
    )


def _one_line(text: str) -> str:
    """A line end in a text would begin another header."""
    return text if text.isprintable() else text.translate(_LINE_ENDS_TO_SPACES)


def _payload(event: OutboxEvent) -> bytes:
    identity = {
        "sessionId": str(event.session_id),
        "userId": str(event.user_id),
        "sessionVersion": event.session_version,
    }
    return orjson.dumps({**event.data, **identity})


def _timestamp(moment: datetime) -> str:
    """ISO 8601 of a time in UTC, in less than half the time of `isoformat`."""
    return orjson.dumps(moment, option=orjson.OPT_UTC_Z)[1:-1].decode()
