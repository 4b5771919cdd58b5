# SPDX-License-Identifier: MIT
"""The sentence and the facts of each error: every fact that changes is in `details` too."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from service.application.errors import (
    DependencyUnavailable,
    Overloaded,
    UserGone,
)
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
)
from service.http.errors import (
    BadRequest,
    InternalError,
    NotFound,
    NotReady,
    PayloadTooLarge,
    RequestHeaderFieldsTooLarge,
    RequestTimeout,
    UnsupportedContentCoding,
    UnsupportedMediaType,
    UriTooLong,
    ValidationFailed,
)
from service.http.headers import explain_mismatch

ID = "01a2155d-b22b-738b-9a82-dee0e3363f83"

SENTENCES: list[tuple[Callable[[], ServiceError], str, dict[str, Any]]] = [
    (
        lambda: StatusTooEarly(UUID(ID), current="planned", required="in_progress"),
        "The session is planned; it must be in_progress.",
        {"sessionId": ID, "currentStatus": "planned", "requiredStatus": "in_progress"},
    ),
    (
        lambda: ActiveSessionExists(UUID(ID)),
        f"The session {ID} is in progress; it must end before another starts.",
        {"activeSessionId": ID},
    ),
    (
        lambda: NoRepetitions(UUID(ID)),
        "A completed session has at least one repetition.",
        {"sessionId": ID},
    ),
    (
        lambda: InvalidReason.too_long(length=501, max_length=500),
        "The reason may have 500 characters, not 501.",
        {"maxLength": 500, "length": 501},
    ),
    (
        lambda: InvalidNotes.forbidden("\x1b", index=4),
        "The notes may not contain U+001B, found at index 4.",
        {"codePoint": "U+001B", "index": 4},
    ),
    (
        lambda: PreconditionFailed(UUID(ID), current_version=3),
        "The session is at version 3, which If-Match does not name.",
        {"sessionId": ID, "currentVersion": 3, "reason": "other_version"},
    ),
    (
        lambda: explain_mismatch(PreconditionFailed(UUID(ID), current_version=3), ['W/"3"']),
        "The session is at version 3. If-Match has a weak tag (W/), which never matches.",
        {"sessionId": ID, "currentVersion": 3, "reason": "weak_tag"},
    ),
    (
        lambda: explain_mismatch(PreconditionFailed(UUID(ID), current_version=3), ["3"]),
        (
            "The session is at version 3."
            " If-Match has no tag of this service: a version in double quotes."
        ),
        {"sessionId": ID, "currentVersion": 3, "reason": "unknown_tag"},
    ),
    (SessionNotFound, "This session does not exist.", {}),
    (IdempotencyKeyReused, "This idempotency key was used for another command.", {}),
    (Overloaded, "The service is busy; the request was not executed. Try again.", {}),
    (
        lambda: DependencyUnavailable("database", "its disk is full"),
        "Something that the service depends on cannot be reached. Try again.",
        {},
    ),
    (UserGone, "The access token is not valid.", {}),
    (NotFound, "This path does not exist.", {}),
    (
        lambda: ValidationFailed.at(["body", 0], "missing", "It must be there."),
        "The request is not valid.",
        {"issues": [{"path": ["body", 0], "code": "missing", "message": "It must be there."}]},
    ),
    (lambda: PayloadTooLarge(16_384), "The body is larger than 16384 bytes.", {"maxBytes": 16_384}),
    (
        UnsupportedMediaType,
        "The body must be application/json.",
        {"header": "Content-Type"},
    ),
    (
        UnsupportedContentCoding,
        "The body must be sent as it is, without compression or another Content-Encoding.",
        {"header": "Content-Encoding"},
    ),
    (
        lambda: BadRequest("no such method"),
        "The request is not valid HTTP: no such method.",
        {"reason": "no such method"},
    ),
    (
        lambda: RequestTimeout("body", 20.0),
        "The body did not arrive within 20 s.",
        {"part": "body", "timeoutSeconds": 20.0},
    ),
    (lambda: UriTooLong(8192), "The target is longer than 8192 bytes.", {"maxBytes": 8192}),
    (
        lambda: RequestHeaderFieldsTooLarge(32_768, 100),
        "The headers are more than 100, or larger than 32768 bytes.",
        {"maxCount": 100, "maxBytes": 32_768},
    ),
    (
        lambda: NotReady({"schema": "too old"}),
        "The service is not ready.",
        {"checks": {"schema": "too old"}},
    ),
    (
        InternalError,
        "An unexpected error occurred. Quote the request id when you report it.",
        {},
    ),
]


@pytest.mark.parametrize(("make", "sentence", "details"), SENTENCES)
def test_says_its_sentence_and_its_facts(
    make: Callable[[], ServiceError], sentence: str, details: dict[str, Any]
) -> None:
    error = make()

    assert error.message == sentence
    assert error.details == details
