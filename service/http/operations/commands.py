# SPDX-License-Identifier: MIT
"""The commands to sessions, as operations."""

from http import HTTPStatus
from typing import Any

from service.application.errors import TooManyRequests, UserGone
from service.domain.errors import (
    ActiveSessionExists,
    IdempotencyKeyReused,
    InvalidNotes,
    InvalidReason,
    NoRepetitions,
    PreconditionFailed,
    ServiceError,
    SessionNotFound,
    StatusTooEarly,
    StatusTooLate,
)
from service.http import endpoints
from service.http.dtos import SessionAnswer
from service.http.errors import PayloadTooLarge, UnsupportedContentCoding, UnsupportedMediaType
from service.http.openapi import examples
from service.http.openapi.operation import Answer, Operation
from service.http.operations import links
from service.http.operations.links import Links
from service.http.operations.queries import READ_ERRORS
from service.http.presenter import session_envelope
from service.http.schemas import (
    CompleteSessionBody,
    FailSessionBody,
    PlanSessionBody,
    StartSessionBody,
    UpdateSessionBody,
)

_COMMAND_HEADERS = ("Idempotency-Key", "traceparent")
_CHANGE_HEADERS = (*_COMMAND_HEADERS, "If-Match")

_COMMAND_ERRORS = (
    *READ_ERRORS,
    UserGone,
    TooManyRequests,
    PayloadTooLarge,
    UnsupportedMediaType,
    UnsupportedContentCoding,
    IdempotencyKeyReused,
)
_CHANGE_ERRORS = (*_COMMAND_ERRORS, SessionNotFound, StatusTooLate, PreconditionFailed)


def _outcome(session: bytes, leads: Links, **overrides: Any) -> tuple[Answer, ...]:
    facts: dict[str, Any] = {
        "summary": "The session after the command.",
        "content": SessionAnswer,
        "example": session,
        "headers": ("ETag", "Content-Location", "Idempotent-Replayed"),
        "links": leads,
    }
    return (Answer(**facts | overrides),)


def _too_late_for(required: str) -> dict[type[ServiceError], ServiceError]:
    error = StatusTooLate(examples.SESSION_ID, current="failed", required=required)
    return {StatusTooLate: error}


COMMANDS = (
    Operation(
        id="planSession",
        method="POST",
        path="/sessions",
        endpoint=endpoints.command_endpoint(PlanSessionBody),
        tag="Sessions",
        summary="Plan a session",
        description="Creates a session: planned, or with `startNow` in progress at once.",
        headers=_COMMAND_HEADERS,
        body=PlanSessionBody,
        body_example={
            "sessionDate": "2026-11-22T09:00:00Z",
            "sets": [12, 10, None],
            "notes": "leg day",
        },
        answers=_outcome(
            session_envelope(examples.planned_session()),
            {**links.TO_READS, **links.TO_UPDATE, **links.TO_START, **links.TO_ENDS},
            status=HTTPStatus.CREATED,
            summary="The new session.",
            headers=("ETag", "Location", "Content-Location", "Idempotent-Replayed"),
        ),
        errors=(*_COMMAND_ERRORS, InvalidNotes, ActiveSessionExists),
    ),
    Operation(
        id="updateSession",
        method="PATCH",
        path="/sessions/{session_id}",
        endpoint=endpoints.command_endpoint(UpdateSessionBody),
        tag="Sessions",
        summary="Update a session that is planned or in progress",
        description="Records what was trained so far, so that an interrupted training keeps it, or"
        " changes the plan. Given values replace those of the session, and null clears `rpe` and"
        " `notes`. `sessionDate` can only change while the session is planned. An update that"
        " changes nothing is 200 with the same `ETag`, and its `Idempotency-Key` is not"
        " remembered.",
        headers=_CHANGE_HEADERS,
        body=UpdateSessionBody,
        body_example={"sets": [12, 10, None], "rpe": 7},
        answers=_outcome(
            session_envelope(examples.updated_session()),
            {**links.TO_READS, **links.TO_UPDATE, **links.TO_ENDS},
        ),
        errors=(*_CHANGE_ERRORS, InvalidNotes),
    ),
    Operation(
        id="startSession",
        method="POST",
        path="/sessions/{session_id}/start",
        endpoint=endpoints.command_endpoint(StartSessionBody),
        tag="Sessions",
        summary="Start a planned session",
        description="From `planned` to `in_progress`. A user has one session in progress at most.",
        headers=_CHANGE_HEADERS,
        body=StartSessionBody,
        answers=_outcome(
            session_envelope(examples.session_in_progress()),
            {**links.TO_READS, **links.TO_UPDATE, **links.TO_ENDS},
        ),
        errors=(*_CHANGE_ERRORS, ActiveSessionExists),
        examples=_too_late_for("planned"),
    ),
    Operation(
        id="completeSession",
        method="POST",
        path="/sessions/{session_id}/complete",
        endpoint=endpoints.command_endpoint(CompleteSessionBody),
        tag="Sessions",
        summary="Complete a session in progress",
        description="From `in_progress` to `completed`. Given `sets` and `rpe` replace those of"
        " the session. A completed session has at least one repetition.",
        headers=_CHANGE_HEADERS,
        body=CompleteSessionBody,
        body_example={"sets": [12, 10, 8], "rpe": 7},
        answers=_outcome(session_envelope(examples.completed_session()), links.TO_READS),
        errors=(*_CHANGE_ERRORS, StatusTooEarly, NoRepetitions),
    ),
    Operation(
        id="failSession",
        method="POST",
        path="/sessions/{session_id}/fail",
        endpoint=endpoints.command_endpoint(FailSessionBody),
        tag="Sessions",
        summary="Fail a session in progress",
        description="From `in_progress` to `failed`: the training was interrupted. `sets`, `rpe`"
        " and `notes` stay as they are; the reason is in the event.",
        headers=_CHANGE_HEADERS,
        body=FailSessionBody,
        body_example={"reason": "shoulder pain"},
        answers=_outcome(session_envelope(examples.failed_session()), links.TO_READS),
        errors=(*_CHANGE_ERRORS, StatusTooEarly, InvalidReason),
    ),
)
