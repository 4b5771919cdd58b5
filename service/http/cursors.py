# SPDX-License-Identifier: MIT
"""Cursors: positions in a list, opaque to clients. Pure.

A cursor needs no signature: it only says where to go on among the caller's own rows.
"""

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from service.application.ports import Position

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_POSITION = struct.Struct(">q16s")
_VERSION = struct.Struct(">I")


class InvalidCursor(ValueError):
    pass


def encode_position(position: Position) -> str:
    moment, session_id = position
    return _encode(_POSITION.pack((moment - _EPOCH) // _MICROSECOND, session_id.bytes))


def decode_position(cursor: str) -> Position:
    """Raises InvalidCursor."""
    microseconds, session_id = _decode(_POSITION, cursor)
    try:
        return _EPOCH + microseconds * _MICROSECOND, UUID(bytes=session_id)
    except OverflowError:
        raise InvalidCursor from None


def encode_version(version: int) -> str:
    return _encode(_VERSION.pack(version))


def decode_version(cursor: str) -> int:
    """Raises InvalidCursor."""
    version: int = _decode(_VERSION, cursor)[0]
    if version >= 2**31:
        raise InvalidCursor
    return version


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(form: struct.Struct, cursor: str) -> tuple[Any, ...]:
    """Accepts only the output of `_encode`: the decoder of base64 alone accepts more."""
    try:
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        unpacked = form.unpack(content)
    except (ValueError, binascii.Error, struct.error):
        raise InvalidCursor from None
    if _encode(content) != cursor:
        raise InvalidCursor
    return unpacked
