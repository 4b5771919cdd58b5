# SPDX-License-Identifier: MIT
"""Parameters in the path and the query of a request."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from service.application.ports import Position
from service.domain.session import SessionStatus
from service.http.cursors import InvalidCursor, decode_position, decode_version
from service.http.errors import ValidationFailed
from service.http.fields import DateTime, parse_canonical_uuid, to_issue

LIMIT_DEFAULT = 20
LIMIT_MAX = 100

T = TypeVar("T")


def parse_session_id(request: Request[Any]) -> UUID:
    """Raises ValidationFailed."""
    session_id = parse_canonical_uuid(request.path_params["session_id"])
    if session_id is None:
        raise ValidationFailed.at(["sessionId"], "invalid_uuid", "It must be a UUID.")
    return session_id


def _parse_number(value: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", value):
        raise PydanticCustomError("invalid_type", "It must be a whole number.")
    return int(value)


def _decoded_by(decode: Callable[[str], T]) -> BeforeValidator:
    def validate(value: str) -> T:
        try:
            return decode(value)
        except InvalidCursor:
            raise PydanticCustomError(
                "invalid_cursor", "It must be the nextCursor of an answer to this request."
            ) from None

    return BeforeValidator(validate)


Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX), BeforeValidator(_parse_number)]
Statuses = Annotated[
    frozenset[SessionStatus],
    WithJsonSchema({"type": "array", "items": {"enum": [*SessionStatus], "type": "string"}}),
]
_CURSOR_TEXT = WithJsonSchema(
    {"type": "string", "format": "cursor", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+$"}
)
_CURSOR = "`meta.nextCursor` of an answer to the same query: continues after its last item."


class QueryParameters(BaseModel):
    """Query parameters. A parameter given twice is an error unless it is repeatable."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[Limit, Field(description="Most items of the page.")] = LIMIT_DEFAULT

    @classmethod
    def parse(cls, request: Request[Any]) -> Self:
        """Raises ValidationFailed."""
        given = request.query_params
        values = {name: cls._values(name, given.getlist(name)) for name in given}
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            raise ValidationFailed(*map(to_issue, exc.errors())) from None

    @classmethod
    def _values(cls, name: str, values: list[str]) -> str | list[str]:
        if name in cls.repeatable():
            return values
        if len(values) > 1:
            raise ValidationFailed.at([name], "repeated", "It may be given once.")
        return values[0]

    @classmethod
    def repeatable(cls) -> frozenset[str]:
        return frozenset()


class ListParameters(QueryParameters):
    """`since` is inclusive, `until` exclusive."""

    status: Annotated[
        Statuses, Field(description="Sessions with this status; several: with one of them.")
    ] = frozenset()
    since: Annotated[
        DateTime, Field(alias="from", description="Sessions whose date is not before this.")
    ] = None
    until: Annotated[
        DateTime, Field(alias="to", description="Sessions whose date is before this.")
    ] = None
    cursor: Annotated[
        Position | None,
        _decoded_by(decode_position),
        _CURSOR_TEXT,
        Field(description=_CURSOR),
    ] = None

    @classmethod
    def repeatable(cls) -> frozenset[str]:
        return frozenset({"status"})


class HistoryParameters(QueryParameters):
    cursor: Annotated[
        int | None, _decoded_by(decode_version), _CURSOR_TEXT, Field(description=_CURSOR)
    ] = None
