# SPDX-License-Identifier: MIT
"""The JSON of answers as types: the presenter builds it, and the description is made from them.

Not from `typing`: before Python 3.12, pydantic needs the typed dictionaries of typing_extensions.
"""

from datetime import datetime
from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict

from service.domain.session import REPETITIONS_MAX, RPE_MAX, SETS_MAX, SessionStatus
from service.domain.text import Notes, Reason

Uuid = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Moment = Annotated[datetime, Field(description="In UTC, to the microsecond.")]
Repetitions = Annotated[int, Field(ge=1, le=REPETITIONS_MAX)]
Sets = Annotated[
    tuple[Repetitions | None, ...],
    Field(max_length=SETS_MAX, description="Repetitions; null for a set that was not done."),
]
Rpe = Annotated[int | None, Field(ge=1, le=RPE_MAX, description="Rate of perceived exertion.")]
TotalReps = Annotated[int, Field(ge=0, le=SETS_MAX * REPETITIONS_MAX, description="Computed.")]
NotesOfSession = Annotated[str | None, Field(max_length=Notes.max_length)]
Version = Annotated[int, Field(ge=1)]
NextCursor = Annotated[str, Field(description="Present if more items follow: the next `cursor`.")]


class SessionDTO(TypedDict):
    """A training session."""

    id: Uuid
    status: SessionStatus
    sessionDate: Moment
    startedAt: Annotated[datetime | None, Field(description="Null before `start`.")]
    endedAt: Annotated[datetime | None, Field(description="Null before `complete` and `fail`.")]
    sets: Sets
    totalReps: TotalReps
    rpe: Rpe
    notes: NotesOfSession
    createdAt: Moment
    updatedAt: Moment


class SessionData(TypedDict):
    session: SessionDTO


class SessionsData(TypedDict):
    sessions: list[SessionDTO]


class Empty(TypedDict):
    """No fields."""


class PlannedData(TypedDict):
    sessionDate: Moment


class UpdatedData(TypedDict):
    sets: Sets
    totalReps: TotalReps
    rpe: Rpe
    notes: NotesOfSession
    sessionDate: Moment


class CompletedData(TypedDict):
    sets: Sets
    totalReps: TotalReps
    rpe: Rpe


class FailedData(TypedDict):
    reason: Annotated[str | None, Field(max_length=Reason.max_length)]


class _Event(TypedDict):
    id: Uuid
    sessionVersion: Annotated[
        Version, Field(description="Of the session after the event; begins at 1, without gaps.")
    ]
    occurredAt: Moment


class SessionPlannedEvent(_Event):
    type: Literal["session_planned"]
    data: PlannedData


class SessionStartedEvent(_Event):
    type: Literal["session_started"]
    data: Empty


class SessionUpdatedEvent(_Event):
    type: Literal["session_updated"]
    data: UpdatedData


class SessionCompletedEvent(_Event):
    type: Literal["session_completed"]
    data: CompletedData


class SessionFailedEvent(_Event):
    type: Literal["session_failed"]
    data: FailedData


EventDTO = Annotated[
    SessionPlannedEvent
    | SessionStartedEvent
    | SessionUpdatedEvent
    | SessionCompletedEvent
    | SessionFailedEvent,
    Field(discriminator="type"),
]


class EventsData(TypedDict):
    events: list[EventDTO]


class PageMeta(TypedDict):
    nextCursor: NotRequired[NextCursor]


class LivenessData(TypedDict):
    status: Literal["alive"]


class ReadinessData(TypedDict):
    checks: Annotated[dict[str, str], Field(description='Each check; "ok", or the problem.')]


class SessionAnswer(TypedDict):
    data: SessionData
    meta: Empty


class SessionsAnswer(TypedDict):
    data: SessionsData
    meta: PageMeta


class EventsAnswer(TypedDict):
    data: EventsData
    meta: PageMeta


class LivenessAnswer(TypedDict):
    data: LivenessData
    meta: Empty


class ReadinessAnswer(TypedDict):
    data: ReadinessData
    meta: Empty


class Description(TypedDict):
    """A document of OpenAPI."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic reads it here

    openapi: str
