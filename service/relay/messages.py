"""Events as messages: CloudEvents 1.0 in binary mode over NATS. Pure.

CloudEvents core specification 1.0.2, its NATS protocol binding, and its extension for distributed
tracing. docs/events.md and docs/asyncapi.yaml describe the result for consumers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from service.application.outbox import RecordedEvent

SUBJECTS = "training.session.v1.>"
SUBJECT = "training.session.v1.*.*"
"""Of each event, with its session and its kind."""

_TYPE = "training.session.v1"
_VERSION_LINE = len("NATS/1.0\r\n\r\n")
_PUNCTUATION = len(": \r\n")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Message:
    subject: str
    headers: dict[str, str]
    payload: bytes

    @property
    def size(self) -> int:
        """In bytes, as the broker counts: headers and payload."""
        text = sum(map(len, self.headers)) + sum(map(len, self.headers.values()))
        return _VERSION_LINE + text + _PUNCTUATION * len(self.headers) + len(self.payload)


def message(event: RecordedEvent, source: str, headers: Mapping[str, str]) -> Message:
    """`headers` are those besides the CloudEvents attributes.

    No other event has its subject: of each kind a session has one, as its statuses lead on.
    """
    name = event.type.removeprefix("session_")
    return Message(
        subject=f"{_TYPE}.{event.session_id}.{name}",
        headers={**_attributes(event, f"{_TYPE}.{name}", source), **headers},
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
        "ce-requestid": event.request_id,
    }
    if event.traceparent:
        attributes["ce-traceparent"] = event.traceparent
    return attributes


def _payload(event: RecordedEvent) -> bytes:
    whose = {
        "sessionId": str(event.session_id),
        "userId": str(event.user_id),
        "sessionVersion": event.session_version,
    }
    return _JSON.encode({**event.data, **whose}).encode()


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
