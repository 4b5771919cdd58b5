"""Positions in a list, as clients carry them from page to page: opaque, and checked. Pure.

A cursor holds nothing that its bearer may not see: it only says where among the caller's own rows
to go on, so it needs no signature.
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


def cursor_of_position(position: Position) -> str:
    moment, session_id = position
    return _encoded(_POSITION.pack((moment - _EPOCH) // _MICROSECOND, session_id.bytes))


def position_of(cursor: str) -> Position:
    """Raises InvalidCursor."""
    microseconds, session_id = _unpacked(_POSITION, cursor)
    try:
        return _EPOCH + microseconds * _MICROSECOND, UUID(bytes=session_id)
    except OverflowError:
        raise InvalidCursor(cursor) from None


def cursor_of_version(version: int) -> str:
    return _encoded(_VERSION.pack(version))


def version_of(cursor: str) -> int:
    """Raises InvalidCursor."""
    version: int = _unpacked(_VERSION, cursor)[0]
    if version >= 2**31:
        raise InvalidCursor(cursor)
    return version


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _unpacked(form: struct.Struct, cursor: str) -> tuple[Any, ...]:
    """Only what `_encoded` makes: a decoder lets much else pass."""
    try:
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        unpacked = form.unpack(content)
    except (ValueError, binascii.Error, struct.error):
        raise InvalidCursor(cursor) from None
    if _encoded(content) != cursor:
        raise InvalidCursor(cursor)
    return unpacked
