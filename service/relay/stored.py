# SPDX-License-Identifier: MIT
"""Messages that the stream holds, and their comparison with events. Pure."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import orjson

from service.relay.messages import Message, parse_headers

ID, TIME = "ce-id", "ce-time"
_COMPARED = (ID, "ce-type", "ce-subject", TIME)
"""Attributes that are facts of the event. The others say how it was requested or published."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    sequence: int
    subject: str
    headers: Mapping[str, str]
    payload: bytes
    stored_at: datetime

    @classmethod
    def from_answer(cls, message: Mapping[str, Any]) -> Self:
        """`message`: as `STREAM.MSG.GET` answers it."""
        return cls(
            sequence=message["seq"],
            subject=message["subject"],
            headers=parse_headers(b64decode(message.get("hdrs", ""))),
            payload=b64decode(message.get("data", "")),
            stored_at=datetime.fromisoformat(message["time"]),
        )

    @property
    def event_id(self) -> str | None:
        return self.headers.get(ID)

    @property
    def user_id(self) -> UUID | None:
        """The user that the payload names."""
        try:
            return UUID(orjson.loads(self.payload)["userId"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def find_difference(stored: StoredMessage, wanted: Message) -> str | None:
    """None if both are the same event, whatever their subjects and further headers are."""
    attributes = parse_headers(wanted.headers)
    if stored.event_id is None:
        return "is not an event"
    if stored.event_id != attributes[ID]:
        return "is another event"
    has_same_facts = all(stored.headers.get(name) == attributes[name] for name in _COMPARED)
    if has_same_facts and _is_same_json(stored.payload, wanted.payload):
        return None
    return "has other content"


def _is_same_json(one: bytes, other: bytes) -> bool:
    try:
        return one == other or _in_canonical_form(one) == _in_canonical_form(other)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # not JSON, or nested too deeply
        return False


def _in_canonical_form(text: bytes) -> bytes:
    return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
