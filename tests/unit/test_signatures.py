# SPDX-License-Identifier: MIT
"""Segments of tokens, read as PyJWT reads them."""

from base64 import urlsafe_b64encode

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.http.signatures import Signatures
from tests.builders import SECRET, a_token

encoded = st.binary(max_size=8).map(urlsafe_b64encode)
unpadded = encoded.map(lambda segment: segment.rstrip(b"="))
junk = st.lists(st.sampled_from([b"A", b"Q", b"-", b"_", b"+", b"/", b"=", b".", b"\n", b"\xff"]))
segments = encoded | unpadded | junk.map(b"".join) | st.binary(max_size=8)


def read_by(signatures: jwt.PyJWS, segment: bytes) -> bytes | str:
    """The bytes of the segment, or the sentence that refuses it."""
    try:
        return signatures._decode_base64url_segment(segment, "payload")  # noqa: SLF001  the subject
    except jwt.DecodeError as exc:
        return str(exc)


@given(segment=segments)
@example(segment=b"")
@example(segment=b"QQ")
@example(segment=b"QQ==")
@example(segment=b"QR")  # the same byte, with bits that must be zero
@example(segment=b"Q!Q")
@example(segment=b"+/8A")
@example(segment=b"QUJD====")
def test_reads_and_refuses_the_segments_that_pyjwt_reads_and_refuses(segment: bytes) -> None:
    assert read_by(Signatures(), segment) == read_by(jwt.PyJWS(), segment)


def test_pyjwt_itself_does_not_read_the_segments_of_a_good_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its method is private: under another name, the faster one would no longer be called."""
    assert hasattr(jwt.PyJWS, "_decode_base64url_segment")
    monkeypatch.setattr(jwt.PyJWS, "_decode_base64url_segment", None)

    assert Signatures(["HS256"]).decode(a_token(), SECRET, ["HS256"])
