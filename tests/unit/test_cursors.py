"""Cursors: the service accepts only cursors that it has issued."""

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


@pytest.mark.parametrize("cursor", ["AAAAAR", "AAAAAQ==", "AAAAAQ=", "AAAA AQ", "_____w", "AAAA"])
def test_refuses_other_spellings_of_a_version(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_version(cursor)
