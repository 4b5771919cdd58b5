# SPDX-License-Identifier: MIT
"""Examples: real errors and sessions, which the service's own code turns into answers."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from service.application.errors import (
    DependencyUnavailable,
    Overloaded,
    TooManyRequests,
    UserGone,
    WrongInstallation,
)
from service.application.ports import HistoryEvent
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
from service.domain.session import Session
from service.domain.text import Notes, Reason
from service.http.connection.limits import HEAD_MAX_BYTES, HEADERS_MAX, TARGET_MAX_BYTES
from service.http.errors import (
    BadRequest,
    ExpectationFailed,
    InternalError,
    MethodNotAllowed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    RequestHeaderFieldsTooLarge,
    RequestTimeout,
    Unauthenticated,
    UnsupportedContentCoding,
    UnsupportedMediaType,
    UriTooLong,
    ValidationFailed,
)
from service.http.token_refusals import TokenRefusal

REQUEST_ID = "f176dbbf-6a60-4d2b-9d3c-1f0f2f1e7a55"
USER_ID = UUID("7d1a6f0e-4a35-4f0c-9c55-0f6a1f5f6f11")
SESSION_ID = UUID("01a20239-c243-73f0-be7c-d14da3465fc0")
ACTIVE_ID = UUID("01a20239-b001-7c11-a9d2-5b1d0c6f7e21")
EVENT_ID = UUID("01a202fc-caa0-76a4-af59-f08f418677c5")
CREATED = datetime(2026, 11, 22, 8, 55, 0, 123456, tzinfo=UTC)
STARTED = CREATED + timedelta(minutes=5)
ENDED = STARTED + timedelta(minutes=12)

ERRORS: dict[type[ServiceError], tuple[ServiceError, ...]] = {
    Overloaded: (Overloaded(),),
    Unauthenticated: (
        Unauthenticated(TokenRefusal.ABSENT),
        Unauthenticated(TokenRefusal.EXPIRED),
    ),
    UserGone: (UserGone(),),
    TooManyRequests: (TooManyRequests(32),),
    ValidationFailed: (
        ValidationFailed.at(["reasn"], "unknown_field", "This field does not exist."),
    ),
    PayloadTooLarge: (PayloadTooLarge(16 * 1024),),
    UnsupportedMediaType: (UnsupportedMediaType(),),
    UnsupportedContentCoding: (UnsupportedContentCoding(),),
    InvalidReason: (InvalidReason.forbidden("\0", index=8),),
    InvalidNotes: (InvalidNotes.forbidden("\0", index=8),),
    NoRepetitions: (NoRepetitions(SESSION_ID),),
    IdempotencyKeyReused: (IdempotencyKeyReused(),),
    SessionNotFound: (SessionNotFound(),),
    StatusTooEarly: (StatusTooEarly(SESSION_ID, current="planned", required="in_progress"),),
    StatusTooLate: (StatusTooLate(SESSION_ID, current="failed", required="in_progress"),),
    ActiveSessionExists: (ActiveSessionExists(ACTIVE_ID),),
    PreconditionFailed: (PreconditionFailed(SESSION_ID, current_version=3),),
    DependencyUnavailable: (DependencyUnavailable("database"),),
    WrongInstallation: (WrongInstallation("database"),),
    BadRequest: (BadRequest("Host is missing"),),
    RequestTimeout: (RequestTimeout("headers", 10),),
    UriTooLong: (UriTooLong(TARGET_MAX_BYTES),),
    RequestHeaderFieldsTooLarge: (RequestHeaderFieldsTooLarge(HEAD_MAX_BYTES, HEADERS_MAX),),
    ExpectationFailed: (ExpectationFailed(),),
    NotFound: (NotFound(),),
    MethodNotAllowed: (MethodNotAllowed(["GET"]),),
    NotReady: (NotReady({"database": "cannot be reached"}),),
    InternalError: (InternalError(),),
}


def planned_session() -> Session:
    session, _ = Session.plan(
        user_id=USER_ID,
        session_id=SESSION_ID,
        session_date=CREATED,
        sets=(12, 10, None),
        notes=Notes.parse("leg day"),
        at=CREATED,
    )
    return session


def session_in_progress() -> Session:
    session = planned_session()
    session.start(at=STARTED)
    return session


def updated_session() -> Session:
    session = session_in_progress()
    session.update({"rpe": 7}, at=STARTED)
    return session


def completed_session() -> Session:
    session = session_in_progress()
    session.complete(at=ENDED, rpe=7)
    return session


def failed_session() -> Session:
    session = session_in_progress()
    session.fail(Reason.parse("shoulder pain"), at=ENDED)
    return session


def failure() -> HistoryEvent:
    event = session_in_progress().fail(Reason.parse("shoulder pain"), at=ENDED)
    return HistoryEvent(
        id=EVENT_ID,
        type=event.type,
        session_version=event.session_version,
        occurred_at=event.occurred_at,
        data=event.data(),
    )
