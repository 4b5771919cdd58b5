"""What requests have to look like."""

import json
import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StrictStr,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.requests import Request

from service.domain.reason import normal_form
from service.http.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed

BODY_MAX_BYTES = 16 * 1024

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CODES = {
    "extra_forbidden": ("unknown_field", "There is no such field."),
    "string_type": ("invalid_type", "It has to be a string or null."),
}


def canonical_uuid(text: str) -> UUID | None:
    """Only 8-4-4-4-12, in either case: Python's own parser takes much else."""
    return UUID(text) if text.isascii() and _CANONICAL_UUID.fullmatch(text) else None


def session_id_of(request: Request[Any]) -> UUID:
    session_id = canonical_uuid(request.path_params["session_id"])
    if session_id is None:
        raise ValidationFailed(_issue(["sessionId"], "invalid_uuid", "It has to be a UUID."))
    return session_id


def _fits(reason: str, info: ValidationInfo) -> str:
    max_length: int = (info.context or {})["reason_max_length"]
    if len(normal_form(reason)) > max_length:
        raise PydanticCustomError(
            "too_long", "It has at most {max_length} characters.", {"max_length": max_length}
        )
    return reason


class FailSessionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[StrictStr, AfterValidator(_fits)] | None = None

    @classmethod
    async def of(cls, request: Request[Any], *, reason_max_length: int) -> "FailSessionBody":
        """Raises PayloadTooLarge, UnsupportedMediaType, ValidationFailed."""
        body = await _json_object(request)
        try:
            return cls.model_validate(body, context={"reason_max_length": reason_max_length})
        except ValidationError as exc:
            raise ValidationFailed(*map(_issue_of, exc.errors())) from None


async def _json_object(request: Request[Any]) -> dict[str, Any]:
    """The body; an absent one is an empty object."""
    body = await _read(request)
    if not body:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        raise ValidationFailed(_issue([], "invalid_json", "The body has to be JSON.")) from None
    if not isinstance(value, dict):
        raise ValidationFailed(_issue([], "invalid_type", "The body has to be an object."))
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


def _issue(path: list[str | int], code: str, message: str) -> dict[str, Any]:
    return {"path": path, "code": code, "message": message}


def _issue_of(error: ErrorDetails) -> dict[str, Any]:
    code, message = _CODES.get(error["type"], (error["type"], error["msg"]))
    return _issue(list(error["loc"]), code, message)
