# SPDX-License-Identifier: MIT
"""Checks of a request's head that the parser leaves to the server (RFC 9110, RFC 9112)."""

from collections.abc import Mapping, Sequence
from string import ascii_letters, digits

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

_HOST = (ascii_letters + digits + "._~-!$&'()*+,;=:%[]").encode()
_CONTINUE = b"100-continue"
_BYTES_BESIDE_A_HEADER = len(b": \r\n")
_BYTES_BESIDE_THE_TARGET = len(b"GET  HTTP/1.1\r\n\r\n")


def size_refusal(target: bytes) -> ServiceError:
    """The refusal of a head, or of trailers, over a limit."""
    if len(target) > TARGET_MAX_BYTES:
        return UriTooLong(TARGET_MAX_BYTES)
    return RequestHeaderFieldsTooLarge(HEAD_MAX_BYTES, HEADERS_MAX)


def head_bytes(url: bytes, headers: Headers) -> int:
    fields = sum(len(name) + len(value) + _BYTES_BESIDE_A_HEADER for name, value in headers)
    return len(url) + _BYTES_BESIDE_THE_TARGET + fields


def origin_form(target: bytes) -> bytes:
    """The path and query of a target that is not a path (RFC 9112, section 3.2).

    Raises BadRequest.
    """
    if target == b"*":
        return target
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise BadRequest("the target is not valid") from None
    return (url.path or b"/") + (b"?" + url.query if url.query else b"")


def head_refusal(version: str, headers: Headers) -> ServiceError | None:
    values = dict(headers)
    if fault := _fault(version, headers, values):
        return BadRequest(fault)
    if b"expect" in values and version == "1.1" and values[b"expect"].lower() != _CONTINUE:
        return ExpectationFailed()
    return None


def _fault(version: str, headers: Headers, values: Mapping[bytes, bytes]) -> str | None:
    if version not in ("1.1", "1.0"):
        return f"HTTP/{version} is not supported"
    host = values.get(b"host")
    if host is None:
        if version == "1.1":
            return "Host is missing"
    elif host.strip(_HOST):
        return "Host contains a character that is not allowed"
    elif len(values) < len(headers) and [name for name, _ in headers].count(b"host") > 1:
        return "Host is there more than once"
    if b"transfer-encoding" in values and not _ends_chunked(values[b"transfer-encoding"]):
        return "the last Transfer-Encoding must be chunked"
    return None


def _ends_chunked(codings: bytes) -> bool:
    """If not, the end of the body is not known (RFC 9112, section 6.3)."""
    return codings.rpartition(b",")[2].strip().lower() == b"chunked"
