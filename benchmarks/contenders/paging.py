# SPDX-License-Identifier: MIT
"""Keyset paging of the list of sessions, for both conventional Python contenders."""

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from benchmarks.contenders.contract import Refused

DEFAULT_LIMIT, LIMIT_MAX = 20, 100

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION = struct.Struct(">q16s")

Position = tuple[datetime, UUID]
"""The date and the id of the last session of a page."""


def limit_of(given: str | None) -> int:
    if given is None:
        return DEFAULT_LIMIT
    if given.isascii() and given.isdigit() and 1 <= int(given) <= LIMIT_MAX:
        return int(given)
    raise Refused("VALIDATION_ERROR", "The limit has to be between 1 and 100.")


def position_of(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    try:
        microseconds, session_id = _POSITION.unpack(base64.urlsafe_b64decode(cursor + "=="))
        return _EPOCH + timedelta(microseconds=microseconds), UUID(bytes=session_id)
    except (ValueError, OverflowError, binascii.Error, struct.error):
        raise Refused("VALIDATION_ERROR", "The cursor is not valid.") from None


def meta_of(last: Position | None) -> dict[str, Any]:
    """`last`: the position of the last session of a page that others follow."""
    if last is None:
        return {}
    moment, session_id = last
    packed = _POSITION.pack((moment - _EPOCH) // timedelta(microseconds=1), session_id.bytes)
    return {"nextCursor": base64.urlsafe_b64encode(packed).decode().rstrip("=")}
