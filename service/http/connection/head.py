"""Checks of a request's head that the parser leaves to the server (RFC 9110, RFC 9112)."""

import re
from collections.abc import Sequence

import httptools

from service.domain.errors import ServiceError
from service.http.connection.limits import HEAD_MAX_BYTES, HEADERS_MAX, TARGET_MAX_BYTES
from service.http.errors import (
    BadRequest,
    ExpectationFailed,
    RequestHeaderFieldsTooLarge,
    UriTooLong,
)

Headers = Sequence[tuple[bytes, bytes]]

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]*")
_BYTES_BESIDE_A_HEADER = len(b": \r\n")
_BYTES_BESIDE_THE_TARGET = len(b"GET  HTTP/1.1\r\n\r\n")


def size_refusal(url: bytes, headers: Headers, *, size: int) -> ServiceError | None:
    """The refusal of a head that is too large, complete or not; `size` in bytes."""
    if len(url) > TARGET_MAX_BYTES:
        return UriTooLong(TARGET_MAX_BYTES)
    if size > HEAD_MAX_BYTES or len(headers) > HEADERS_MAX:
        return headers_too_large()
    return None


def headers_too_large() -> ServiceError:
    return RequestHeaderFieldsTooLarge(HEAD_MAX_BYTES, HEADERS_MAX)


def head_bytes(url: bytes, headers: Headers) -> int:
    fields = sum(len(name) + len(value) + _BYTES_BESIDE_A_HEADER for name, value in headers)
    return len(url) + _BYTES_BESIDE_THE_TARGET + fields


def origin_form(target: bytes) -> bytes:
    """The path and query of any form of a target (RFC 9112, section 3.2). Raises BadRequest."""
    if target.startswith(b"/") or target == b"*":
        return target
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise BadRequest("the target is not valid") from None
    return (url.path or b"/") + (b"?" + url.query if url.query else b"")


def require_valid_head(version: str, headers: Headers) -> None:
    """Raises BadRequest, ExpectationFailed."""
    if version not in {"1.0", "1.1"}:
        raise BadRequest(f"HTTP/{version} is not supported")
    hosts = 0
    final_coding = b"chunked"
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise BadRequest("Host contains a character that is not allowed")
        elif name == b"expect" and version == "1.1" and value.lower() != b"100-continue":
            raise ExpectationFailed
        elif name == b"transfer-encoding":
            final_coding = value.rpartition(b",")[2].strip().lower()
    if final_coding != b"chunked":  # where the body ends is not known (RFC 9112, section 6.3)
        raise BadRequest("the last Transfer-Encoding must be chunked")
    if hosts > 1 or (version == "1.1" and not hosts):
        raise BadRequest("it needs exactly one Host header")
