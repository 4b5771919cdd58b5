"""Events as messages: CloudEvents 1.0 in binary mode over NATS. Pure.

CloudEvents core specification 1.0.2, its NATS protocol binding, and its extension for distributed
tracing. docs/events.md and docs/asyncapi.yaml describe the result for consumers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from service.application.outbox import RecordedEvent

SUBJECTS = "training.session.v1.>"
SUBJECT = "training.session.v1.*.*"
"""Of each event, with its session and its kind."""

_TYPE = "training.session.v1"
_VERSION = "NATS/1.0\r\n"
_ENDS_OF_LINES = str.maketrans("\r\n", "  ")


@dataclass(frozen=True, slots=True)
class Message:
    """`headers` as they go over the wire."""

    subject: str
    headers: bytes
    payload: bytes

    @property
    def size(self) -> int:
        """In bytes, as the broker counts: headers and payload."""
        return len(self.headers) + len(self.payload)

    def published(self, *, reply: str = "") -> bytes:
        """The command of the NATS client protocol that publishes it."""
        command = f"HPUB {self.subject} {reply} {len(self.headers)} {self.size}\r\n"
        return b"".join((command.encode(), self.headers, self.payload, b"\r\n"))


def message(event: RecordedEvent, source: str, headers: Mapping[str, str]) -> Message:
    """`headers` are those besides the CloudEvents attributes.

    No other event has its subject: of each kind a session has one, as its statuses lead on.
    """
    name = event.type.removeprefix("session_")
    return Message(
        subject=f"{_TYPE}.{event.session_id}.{name}",
        headers=_encoded({**_attributes(event, f"{_TYPE}.{name}", source), **headers}),
        payload=_payload(event),
    )


def _attributes(event: RecordedEvent, kind: str, source: str) -> dict[str, str]:
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": str(event.id),
        "ce-source": source,
        "ce-type": kind,
        "ce-subject": str(event.session_id),
        "ce-time": _timestamp(event.occurred_at),
        "ce-datacontenttype": "application/json",
        "ce-requestid": _one_line(event.request_id),
    }
    if event.traceparent:
        attributes["ce-traceparent"] = _one_line(event.traceparent)
    return attributes


def _encoded(headers: Mapping[str, str]) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"{_VERSION}{lines}\r\n".encode()


def _one_line(text: str) -> str:
    """Whatever it says, it does not become a header of its own."""
    return text.translate(_ENDS_OF_LINES)


def _payload(event: RecordedEvent) -> bytes:
    whose = {
        "sessionId": str(event.session_id),
        "userId": str(event.user_id),
        "sessionVersion": event.session_version,
    }
    return orjson.dumps({**event.data, **whose})


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
