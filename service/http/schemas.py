"""What the bodies of commands have to look like, and the commands that they ask for."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import Request

from service.application.commands import (
    Command,
    CompleteSession,
    FailSession,
    PlanSession,
    StartSession,
)
from service.domain.text import Notes, Reason
from service.http.body import json_object
from service.http.errors import ValidationFailed
from service.http.fields import BoundedText, DateTime, Rpe, Sets, issue_of


class Facts(TypedDict):
    """What every command has that is not in its body."""

    user_id: UUID
    session_id: UUID
    request_id: str
    traceparent: str | None
    idempotency_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`max_lengths`: of each text, in code points."""

    facts: Facts
    if_match: frozenset[int] | None
    max_lengths: Mapping[str, int]


class CommandBody(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    @classmethod
    async def of(cls, request: Request[Any], max_lengths: Mapping[str, int]) -> Self:
        """Raises PayloadTooLarge, UnsupportedMediaType, ValidationFailed."""
        body = await json_object(request)
        try:
            return cls.model_validate(body, context=max_lengths)
        except ValidationError as exc:
            raise ValidationFailed(*map(issue_of, exc.errors())) from None

    @abstractmethod
    def command(self, asked: Asked) -> Command:
        """Raises InvalidText."""


class PlanSessionBody(CommandBody):
    session_date: DateTime = None
    sets: Sets | None = None
    notes: BoundedText | None = None
    start_now: StrictBool | None = None

    def command(self, asked: Asked) -> PlanSession:
        return PlanSession(
            **asked.facts,
            session_date=self.session_date,
            sets=tuple(self.sets or ()),
            notes=Notes.parse(self.notes, max_length=asked.max_lengths["notes"]),
            start_now=bool(self.start_now),
        )


class StartSessionBody(CommandBody):
    def command(self, asked: Asked) -> StartSession:
        return StartSession(**asked.facts, if_match=asked.if_match)


class CompleteSessionBody(CommandBody):
    sets: Sets | None = None
    rpe: Rpe | None = None

    def command(self, asked: Asked) -> CompleteSession:
        sets = None if self.sets is None else tuple(self.sets)
        return CompleteSession(**asked.facts, if_match=asked.if_match, sets=sets, rpe=self.rpe)


class FailSessionBody(CommandBody):
    reason: BoundedText | None = None

    def command(self, asked: Asked) -> FailSession:
        reason = Reason.parse(self.reason, max_length=asked.max_lengths["reason"])
        return FailSession(**asked.facts, if_match=asked.if_match, reason=reason)
