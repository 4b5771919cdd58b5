# SPDX-License-Identifier: MIT
"""Types of fields and parameters, and the message for each kind of wrong value."""

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictInt,
    StrictStr,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from service.domain.date_time import InvalidDateTime, parse_date_time
from service.domain.normal_form import normalize
from service.domain.session import REPETITIONS_MAX, RPE_MAX, SETS_MAX
from service.domain.text import FORBIDDEN_CONTROLS, Notes, Reason, Text
from service.http.errors import Issue

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_CODES = {
    "extra_forbidden": ("unknown_field", "This field does not exist."),
    "string_type": ("invalid_type", "It must be a string or null."),
    "int_type": ("invalid_type", "It must be a whole number or null."),
    "bool_type": ("invalid_type", "It must be true, false or null."),
    "list_type": ("invalid_type", "It must be a list or null."),
    "enum": ("unknown_value", "This status does not exist."),
    "greater_than_equal": ("too_small", "It must be at least {ge}."),
    "less_than_equal": ("too_large", "It must be at most {le}."),
    "too_long": ("too_long", "It may have at most {max_length} entries or characters."),
}

TEXT_PATTERN = f"^[^{FORBIDDEN_CONTROLS}]*$"
"""Allowed characters, as a pattern of JSON Schema, which knows no lone surrogates."""


def is_canonical_uuid(text: str) -> bool:
    """The form 8-4-4-4-12 in either case. Python's and pydantic's parsers accept more forms."""
    return text.isascii() and _CANONICAL_UUID.fullmatch(text) is not None


def parse_canonical_uuid(text: str) -> UUID | None:
    """None if the text has another form."""
    return UUID(text) if is_canonical_uuid(text) else None


def _validate_date_time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_date_time(value if isinstance(value, str) else "")
    except InvalidDateTime as exc:
        raise PydanticCustomError("invalid_date_time", "{why}", {"why": str(exc)}) from None


def _refuse_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("invalid_type", "It must not be null.")
    return value


def _limit_length(kind: type[Text]) -> AfterValidator:
    """Counts code points of the normal form."""

    def validate(text: str) -> str:
        if len(normalize(text)) > kind.max_length:
            raise PydanticCustomError("too_long", "Too long.", {"max_length": kind.max_length})
        return text

    return AfterValidator(validate)


def _text_schema(kind: type[Text], purpose: str) -> WithJsonSchema:
    counted = "Trimmed and brought to Unicode NFC, then counted in code points."
    return WithJsonSchema(
        {
            "type": "string",
            "maxLength": kind.max_length,
            "pattern": TEXT_PATTERN,
            "description": f"{purpose} {counted} Of control characters, newline and tab only.",
        }
    )


ReasonText = Annotated[
    StrictStr, _limit_length(Reason), _text_schema(Reason, "Why the training was interrupted.")
]
NotesText = Annotated[StrictStr, _limit_length(Notes), _text_schema(Notes, "On the training.")]
_DATE_TIME_SCHEMA = {"type": "string", "format": "date-time"}
DateTime = Annotated[
    datetime | None,
    BeforeValidator(_validate_date_time),
    WithJsonSchema({"anyOf": [_DATE_TIME_SCHEMA, {"type": "null"}]}),
]
GivenDateTime = Annotated[
    datetime | None,
    BeforeValidator(_validate_date_time),
    BeforeValidator(_refuse_null),
    WithJsonSchema(_DATE_TIME_SCHEMA),
]
Repetitions = Annotated[StrictInt, Field(ge=1, le=REPETITIONS_MAX)]
Sets = Annotated[list[Repetitions | None], Field(strict=True, max_length=SETS_MAX)]
GivenSets = Annotated[
    Sets | None,
    BeforeValidator(_refuse_null),
    WithJsonSchema(TypeAdapter(Sets).json_schema()),
]
Rpe = Annotated[StrictInt, Field(ge=1, le=RPE_MAX)]


def to_issue(error: ErrorDetails) -> Issue:
    """An error of pydantic with the codes and messages of the API."""
    code, message = _CODES.get(error["type"], (error["type"], error["msg"]))
    message = message.format(**error.get("ctx", {}))
    return {"path": list(error["loc"]), "code": code, "message": message}
