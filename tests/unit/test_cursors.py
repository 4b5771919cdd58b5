# SPDX-License-Identifier: MIT
"""Cursors: the service accepts only cursors that it has issued."""

import base64
import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.cursors import (
    InvalidCursor,
    decode_position,
    decode_version,
    encode_position,
    encode_version,
)

moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  bounds are given without


@given(moment=moments, session_id=st.uuids())
def test_a_position_survives_encoding_and_decoding(moment: datetime, session_id: UUID) -> None:
    cursor = encode_position((moment, session_id))
    assert decode_position(cursor) == (moment, session_id)
    assert cursor.isascii()
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.integers(0, 2**31 - 1))
def test_a_version_survives_encoding_and_decoding(version: int) -> None:
    assert decode_version(encode_version(version)) == version


@given(st.text(max_size=40) | st.from_regex(r"[A-Za-z0-9_-]{32}=?", fullmatch=True))
def test_an_accepted_cursor_is_exactly_the_encoding_of_its_position(text: str) -> None:
    both: list[tuple[Any, Any]] = [
        (decode_position, encode_position),
        (decode_version, encode_version),
    ]
    for parse, cursor_of in both:
        try:
            assert cursor_of(parse(text)) == text
        except InvalidCursor:
            continue


@pytest.mark.parametrize("version", [2**31, 2**31 + 1, 2**32 - 1])
def test_refuses_a_version_that_no_session_can_have(version: int) -> None:
    """A column of the database holds up to 2^31 - 1."""
    with pytest.raises(InvalidCursor):
        decode_version(encode_version(version))


def test_accepts_the_greatest_version() -> None:
    assert decode_version(encode_version(2**31 - 1)) == 2**31 - 1


def test_a_cursor_is_as_documented_by_its_bytes() -> None:
    """A cursor may be older than the release that reads it."""
    session_id = UUID("01a2155d-b22b-738b-9a82-dee0e3363f83")
    moment = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert encode_version(258) == "AAABAg"
    assert encode_position((moment, session_id)) == "AAAAAAAPQkABohVdsitzi5qC3uDjNj-D"


@pytest.mark.parametrize(
    "microseconds", [2**63 - 1, -(2**63), 253_402_300_800_000_000, -62_135_596_800_000_001]
)
def test_refuses_a_position_at_a_time_that_does_not_exist(microseconds: int) -> None:
    content = struct.pack(">q16s", microseconds, bytes(16))
    with pytest.raises(InvalidCursor):
        decode_position(base64.urlsafe_b64encode(content).decode())


@pytest.mark.parametrize("cursor", ["AAAAAR", "AAAAAQ==", "AAAAAQ=", "AAAA AQ", "_____w", "AAAA"])
def test_refuses_other_spellings_of_a_version(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_version(cursor)
