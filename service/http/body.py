# SPDX-License-Identifier: MIT
"""The body of a request: a JSON object of a bounded size."""

import json
from typing import Any

from starlette.requests import Request

from service.http.errors import (
    PayloadTooLarge,
    UnsupportedContentCoding,
    UnsupportedMediaType,
    ValidationFailed,
)


async def read_json_object(request: Request[Any], *, max_bytes: int) -> dict[str, Any]:
    """The body; an empty one counts as an empty object.

    Raises PayloadTooLarge, UnsupportedContentCoding, UnsupportedMediaType, ValidationFailed.
    """
    body = await _read(request, max_bytes)
    if not body:
        return {}
    if _codings(request, "content-encoding") - {"identity"}:
        raise UnsupportedContentCoding
    if _codings(request, "transfer-encoding") - {"chunked"}:
        raise UnsupportedContentCoding
    media_type = request.headers.get("content-type", "").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        raise ValidationFailed.at([], "invalid_json", "The body must be JSON.") from None
    if not isinstance(value, dict):
        raise ValidationFailed.at([], "invalid_type", "The body must be an object.")
    return value


async def _read(request: Request[Any], max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise PayloadTooLarge(max_bytes)
    return body


def _codings(request: Request[Any], header: str) -> set[str]:
    values = ",".join(request.headers.getlist(header)).split(",")
    return {value.strip().lower() for value in values} - {""}


def _require_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a name that occurs twice: either value could be the one that was meant."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _refuse(_constant: str) -> None:
    """Python would also take NaN and Infinity."""
    raise ValueError


_DECODER = json.JSONDecoder(object_pairs_hook=_require_unique_names, parse_constant=_refuse)
