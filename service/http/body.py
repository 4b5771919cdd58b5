# SPDX-License-Identifier: MIT
"""The body of a request: a JSON object of a bounded size."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request

from service.http.errors import (
    PayloadTooLarge,
    UnsupportedContentCoding,
    UnsupportedMediaType,
    ValidationFailed,
)
from service.http.header_values import header_values


async def read_json_object(request: Request[Any], *, max_bytes: int) -> dict[str, Any]:
    """The body; an empty one counts as an empty object.

    Raises PayloadTooLarge, UnsupportedContentCoding, UnsupportedMediaType, ValidationFailed.
    """
    body = await _read(request, max_bytes)
    if not body:
        return {}
    headers = header_values(request)
    if _codings(headers.get("content-encoding")) - {"identity"}:
        raise UnsupportedContentCoding
    if _codings(headers.get("transfer-encoding")) - {"chunked"}:
        raise UnsupportedContentCoding
    media_type = headers.get("content-type", [""])[0].partition(";")[0]
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
    announced = header_values(request).get("content-length", ["0"])[0]
    if not announced.isdecimal() or int(announced) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    body = b""
    is_last = False
    while not is_last:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise PayloadTooLarge(max_bytes)
        is_last = not message.get("more_body", False)
    return body


def _codings(values: Sequence[str] | None) -> set[str]:
    if not values:
        return set()
    return {value.strip().lower() for value in ",".join(values).split(",")} - {""}


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
