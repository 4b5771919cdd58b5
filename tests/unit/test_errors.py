# SPDX-License-Identifier: MIT
"""Every error has one status, one code, and its facts beside its message."""

from collections.abc import Iterator
from http import HTTPStatus
from uuid import uuid4

import pytest

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    Overloaded,
    TimedOut,
    TooManyRequests,
    TransactionFailed,
    UserGone,
    WrongInstallation,
)
from service.domain.errors import (
    ActiveSessionExists,
    DomainError,
    IdempotencyKeyReused,
    InvalidNotes,
    InvalidReason,
    InvalidStatus,
    InvalidText,
    NoRepetitions,
    PreconditionFailed,
    ServiceError,
    SessionNotFound,
    StatusTooEarly,
    StatusTooLate,
)
from service.http.error_responses import STATUS_BY_ERROR, error_response
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

ABSTRACT = {DomainError, InvalidStatus, InvalidText}
SESSION_ID = uuid4()
RETRIED_LATER = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}

ANSWERS = [
    (Overloaded(), 503, "OVERLOADED"),
    (Unauthenticated(TokenRefusal.EXPIRED), 401, "UNAUTHENTICATED"),
    (UserGone(), 401, "UNAUTHENTICATED"),
    (TooManyRequests(32), 429, "TOO_MANY_REQUESTS"),
    (ValidationFailed(), 400, "VALIDATION_ERROR"),
    (PayloadTooLarge(16_384), 413, "PAYLOAD_TOO_LARGE"),
    (UnsupportedMediaType(), 415, "UNSUPPORTED_MEDIA_TYPE"),
    (UnsupportedContentCoding(), 415, "UNSUPPORTED_MEDIA_TYPE"),
    (InvalidReason("Too long."), 422, "INVALID_REASON"),
    (InvalidNotes("Too long."), 422, "INVALID_NOTES"),
    (NoRepetitions(SESSION_ID), 422, "NO_REPETITIONS"),
    (IdempotencyKeyReused(), 422, "IDEMPOTENCY_KEY_REUSED"),
    (SessionNotFound(), 404, "SESSION_NOT_FOUND"),
    (StatusTooEarly(SESSION_ID, current="planned", required="in_progress"), 422, "INVALID_STATUS"),
    (StatusTooLate(SESSION_ID, current="failed", required="in_progress"), 409, "INVALID_STATUS"),
    (ActiveSessionExists(SESSION_ID), 409, "ACTIVE_SESSION_EXISTS"),
    (PreconditionFailed(SESSION_ID, current_version=3), 412, "PRECONDITION_FAILED"),
    (DependencyUnavailable("database"), 503, "DEPENDENCY_UNAVAILABLE"),
    (BadRequest("Invalid method encountered"), 400, "BAD_REQUEST"),
    (RequestTimeout("body", 20), 408, "REQUEST_TIMEOUT"),
    (UriTooLong(8192), 414, "URI_TOO_LONG"),
    (RequestHeaderFieldsTooLarge(32_768, 100), 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    (ExpectationFailed(), 417, "EXPECTATION_FAILED"),
    (WrongInstallation("reads", "a table is missing"), 503, "DEPENDENCY_UNAVAILABLE"),
    (NotFound(), 404, "NOT_FOUND"),
    (MethodNotAllowed(["GET", "HEAD"]), 405, "METHOD_NOT_ALLOWED"),
    (NotReady({"schema": "no migration has run"}), 503, "NOT_READY"),
    (InternalError(), 500, "INTERNAL_ERROR"),
]


def every_error(kind: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    for child in kind.__subclasses__():
        yield child
        yield from every_error(child)


def test_every_error_has_a_status_and_an_expected_answer() -> None:
    answerable = set(every_error()) - ABSTRACT
    assert answerable == STATUS_BY_ERROR.keys() == {type(error) for error, _, _ in ANSWERS}


@pytest.mark.parametrize(
    ("error", "status", "code"), ANSWERS, ids=lambda value: getattr(value, "code", str(value))
)
def test_answers_with_the_promised_status_and_code(
    error: ServiceError, status: int, code: str
) -> None:
    response = error_response(error, "a-request")

    assert (response.status_code, error.code) == (status, code)
    assert b'"requestId":"a-request"' in response.body
    assert ("retry-after" in response.headers) is (status in RETRIED_LATER)
    assert ("www-authenticate" in response.headers) is (status == HTTPStatus.UNAUTHORIZED)
    is_coded = isinstance(error, UnsupportedContentCoding)
    assert response.headers.get("accept-encoding") == ("identity" if is_coded else None)


@pytest.mark.parametrize(
    ("error", "_status", "code"), ANSWERS, ids=lambda value: getattr(value, "code", str(value))
)
def test_a_copy_says_the_same_and_has_no_traceback(
    error: ServiceError, _status: int, code: str
) -> None:
    try:
        raise error from ValueError("the cause")
    except ServiceError as raised:
        another = raised.copy()

    assert (type(another), another.args, another.code) == (type(error), error.args, code)
    assert vars(another) == vars(error)
    assert another.__cause__ is error.__cause__
    assert another.__traceback__ is None


@pytest.mark.parametrize("kind", [CommitUnknown, ConnectionLost, Contended, TimedOut])
def test_a_failed_transaction_names_its_cause_or_its_kind(kind: type[TransactionFailed]) -> None:
    failed = kind("the disk is full")
    assert (failed.cause, str(failed)) == ("the disk is full", "the disk is full")
    assert kind().cause == kind.__name__


def test_an_unavailable_dependency_names_its_cause_or_its_kind() -> None:
    assert DependencyUnavailable("database", "the disk is full").cause == "the disk is full"
    assert DependencyUnavailable("database").cause == "DependencyUnavailable"
