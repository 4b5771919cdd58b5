"""Types of fields in bodies and of parameters, and what is said when they are wrong."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from service.domain.session import REPETITIONS_MAX, RPE_MAX, SETS_MAX
from service.domain.text import normal_form
from service.http.errors import issue

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_YEARS = range(2, 9999)
"""What the database holds, but for the first: its first moment is minus infinity to the driver."""

_CODES = {
    "extra_forbidden": ("unknown_field", "There is no such field."),
    "string_type": ("invalid_type", "It has to be a string or null."),
    "int_type": ("invalid_type", "It has to be a whole number or null."),
    "bool_type": ("invalid_type", "It has to be true, false or null."),
    "list_type": ("invalid_type", "It has to be a list or null."),
    "enum": ("unknown_value", "There is no such status."),
    "greater_than_equal": ("too_small", "It has to be at least {ge}."),
    "less_than_equal": ("too_large", "It has to be at most {le}."),
    "too_long": ("too_long", "It has at most {max_length} entries or characters."),
}


def canonical_uuid(text: str) -> UUID | None:
    """Only 8-4-4-4-12, in either case: Python's own parser takes much else."""
    return UUID(text) if text.isascii() and _CANONICAL_UUID.fullmatch(text) else None


def _to_datetime(value: object) -> datetime | None:
    """RFC 3339, to the microsecond, in the years that the database can give back."""
    if value is None:
        return None
    moment = _parsed(value) if isinstance(value, str) and _DATE_TIME.fullmatch(value) else None
    if moment is None or moment.year not in _YEARS:
        raise PydanticCustomError(
            "invalid_date_time", "It has to be a time like 2026-11-22T09:00:00Z, with its zone."
        )
    return moment


def _parsed(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _fits(text: str, info: ValidationInfo) -> str:
    """`context` has the greatest length of each field, in code points of the normal form."""
    max_length: int = (info.context or {})[info.field_name]
    if len(normal_form(text)) > max_length:
        raise PydanticCustomError("too_long", "Too long.", {"max_length": max_length})
    return text


BoundedText = Annotated[StrictStr, AfterValidator(_fits)]
DateTime = Annotated[datetime | None, BeforeValidator(_to_datetime)]
Repetitions = Annotated[StrictInt, Field(ge=1, le=REPETITIONS_MAX)]
Sets = Annotated[list[Repetitions | None], Field(strict=True, max_length=SETS_MAX)]
Rpe = Annotated[StrictInt, Field(ge=1, le=RPE_MAX)]


def issue_of(error: ErrorDetails) -> dict[str, Any]:
    """What pydantic found, in the API's words."""
    code, message = _CODES.get(error["type"], (error["type"], error["msg"]))
    return issue(list(error["loc"]), code, message.format(**error.get("ctx", {})))
