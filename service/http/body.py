"""The body of a request: a JSON object of a bounded size."""

import json
from typing import Any

from starlette.requests import Request

from service.http.errors import (
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
    issue,
)

BODY_MAX_BYTES = 16 * 1024


async def json_object(request: Request[Any]) -> dict[str, Any]:
    """The body; an absent one is an empty object.

    Raises PayloadTooLarge, UnsupportedMediaType, ValidationFailed.
    """
    body = await _read(request)
    if not body:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        raise ValidationFailed(issue([], "invalid_json", "The body has to be JSON.")) from None
    if not isinstance(value, dict):
        raise ValidationFailed(issue([], "invalid_type", "The body has to be an object."))
    return value


async def _read(request: Request[Any]) -> bytes:
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > BODY_MAX_BYTES:
        raise PayloadTooLarge(BODY_MAX_BYTES)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            raise PayloadTooLarge(BODY_MAX_BYTES)
    return body


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two reasons, which one was meant?"""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name occurs twice")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse)
