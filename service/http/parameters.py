"""What is in the path and the query of a request."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from service.application.ports import Position
from service.domain.session import SessionStatus
from service.http.cursors import InvalidCursor, position_of, version_of
from service.http.errors import ValidationFailed, issue
from service.http.fields import DateTime, canonical_uuid, issue_of

LIMIT_DEFAULT = 20
LIMIT_MAX = 100

T = TypeVar("T")


def session_id_of(request: Request[Any]) -> UUID:
    """Raises ValidationFailed."""
    session_id = canonical_uuid(request.path_params["session_id"])
    if session_id is None:
        raise ValidationFailed(issue(["sessionId"], "invalid_uuid", "It has to be a UUID."))
    return session_id


def _to_number(value: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", value):
        raise PydanticCustomError("invalid_type", "It has to be a whole number.")
    return int(value)


def _from(parse: Callable[[str], T]) -> BeforeValidator:
    def to_position(value: str) -> T:
        try:
            return parse(value)
        except InvalidCursor:
            raise PydanticCustomError(
                "invalid_cursor", "It has to be the nextCursor of an answer to this request."
            ) from None

    return BeforeValidator(to_position)


Limit = Annotated[int, BeforeValidator(_to_number), Field(ge=1, le=LIMIT_MAX)]


class Parameters(BaseModel):
    """Of the query. One that may be repeated is a list; of two others, which one was meant?"""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = LIMIT_DEFAULT

    @classmethod
    def of(cls, request: Request[Any]) -> Self:
        """Raises ValidationFailed."""
        given = request.query_params
        values = {name: cls._values(name, given.getlist(name)) for name in given}
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            raise ValidationFailed(*map(issue_of, exc.errors())) from None

    @classmethod
    def _values(cls, name: str, values: list[str]) -> str | list[str]:
        if name in cls.repeatable():
            return values
        if len(values) > 1:
            raise ValidationFailed(issue([name], "repeated", "It may be given once."))
        return values[0]

    @classmethod
    def repeatable(cls) -> frozenset[str]:
        return frozenset()


class ListParameters(Parameters):
    """`since` is in, `until` is out."""

    status: frozenset[SessionStatus] = frozenset()
    since: Annotated[DateTime, Field(alias="from")] = None
    until: Annotated[DateTime, Field(alias="to")] = None
    cursor: Annotated[Position | None, _from(position_of)] = None

    @classmethod
    def repeatable(cls) -> frozenset[str]:
        return frozenset({"status"})


class HistoryParameters(Parameters):
    cursor: Annotated[int | None, _from(version_of)] = None
