# SPDX-License-Identifier: MIT
"""Bodies of commands, and the commands that they describe."""

from abc import abstractmethod
from itertools import islice
from typing import Any, ClassVar, Self, TypedDict
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from service.application.command import Command
from service.application.commands import (
    CompleteSession,
    FailSession,
    PlanSession,
    StartSession,
    UpdateSession,
)
from service.domain.session import SessionChanges
from service.domain.text import Notes, Reason
from service.http.body import read_json_object
from service.http.errors import ValidationFailed
from service.http.fields import (
    DateTime,
    GivenDateTime,
    GivenSets,
    NotesText,
    ReasonText,
    Rpe,
    Sets,
    to_issue,
)


class CommandFields(TypedDict):
    """Fields of every command that are not in its body."""

    user_id: UUID
    session_id: UUID
    request_id: str
    traceparent: str | None
    idempotency_key: str | None


WITH_NOTES_MAX_BYTES = 80 * 1024
"""docs/decisions/body-limit.md has the calculation."""

NAMES_MAX = 100
"""More than any body has. Of a body with more names the rest is not looked at, nor reported."""


class CommandBody(BaseModel):
    """`max_bytes`: room for the longest texts in their longest writing."""

    max_bytes: ClassVar[int] = 16 * 1024

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    @classmethod
    async def parse(cls, request: Request[Any]) -> Self:
        """Raises what `read_json_object` raises, and ValidationFailed."""
        body = await read_json_object(request, max_bytes=cls.max_bytes)
        try:
            return cls.model_validate(dict(islice(body.items(), NAMES_MAX)))
        except ValidationError as exc:
            raise ValidationFailed(*map(to_issue, exc.errors())) from None

    @abstractmethod
    def command(self, fields: CommandFields, if_match: frozenset[int] | None) -> Command:
        """Raises InvalidText."""


class PlanSessionBody(CommandBody):
    max_bytes = WITH_NOTES_MAX_BYTES

    session_date: DateTime = None
    sets: Sets | None = None
    notes: NotesText | None = None
    start_now: StrictBool | None = None

    def command(self, fields: CommandFields, _if_match: frozenset[int] | None) -> PlanSession:
        return PlanSession(
            **fields,
            session_date=self.session_date,
            sets=tuple(self.sets or ()),
            notes=Notes.parse(self.notes),
            start_now=bool(self.start_now),
        )


class UpdateSessionBody(CommandBody):
    """The only body in which null differs from absent: it clears `rpe` and `notes`."""

    max_bytes = WITH_NOTES_MAX_BYTES

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    session_date: GivenDateTime = None
    sets: GivenSets = None
    rpe: Rpe | None = None
    notes: NotesText | None = None

    @model_validator(mode="after")
    def _require_a_field(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("nothing_given", "It must have at least one field.")
        return self

    def command(self, fields: CommandFields, if_match: frozenset[int] | None) -> UpdateSession:
        return UpdateSession(**fields, if_match=if_match, changes=self._changes())

    def _changes(self) -> SessionChanges:
        changes: SessionChanges = {}
        if self.session_date is not None:
            changes["session_date"] = self.session_date
        if self.sets is not None:
            changes["sets"] = tuple(self.sets)
        if "rpe" in self.model_fields_set:
            changes["rpe"] = self.rpe
        if "notes" in self.model_fields_set:
            notes = Notes.parse(self.notes)
            changes["notes"] = notes.text if notes else None
        return changes


class StartSessionBody(CommandBody):
    def command(self, fields: CommandFields, if_match: frozenset[int] | None) -> StartSession:
        return StartSession(**fields, if_match=if_match)


class CompleteSessionBody(CommandBody):
    sets: Sets | None = None
    rpe: Rpe | None = None

    def command(self, fields: CommandFields, if_match: frozenset[int] | None) -> CompleteSession:
        sets = None if self.sets is None else tuple(self.sets)
        return CompleteSession(**fields, if_match=if_match, sets=sets, rpe=self.rpe)


class FailSessionBody(CommandBody):
    reason: ReasonText | None = None

    def command(self, fields: CommandFields, if_match: frozenset[int] | None) -> FailSession:
        return FailSession(**fields, if_match=if_match, reason=Reason.parse(self.reason))
