# SPDX-License-Identifier: MIT
"""Responses to errors: the table of statuses, and the format of an error."""

from http import HTTPStatus

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.application.errors import (
    DependencyUnavailable,
    Overloaded,
    TooManyRequests,
    UserGone,
    WrongInstallation,
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
    StatusTooLate,
)
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

STATUS_BY_ERROR: dict[type[ServiceError], HTTPStatus] = {
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    UserGone: HTTPStatus.UNAUTHORIZED,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    ValidationFailed: HTTPStatus.BAD_REQUEST,
    PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UnsupportedContentCoding: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    InvalidReason: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidNotes: HTTPStatus.UNPROCESSABLE_ENTITY,
    NoRepetitions: HTTPStatus.UNPROCESSABLE_ENTITY,
    IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    SessionNotFound: HTTPStatus.NOT_FOUND,
    StatusTooEarly: HTTPStatus.UNPROCESSABLE_ENTITY,
    StatusTooLate: HTTPStatus.CONFLICT,
    ActiveSessionExists: HTTPStatus.CONFLICT,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    DependencyUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    BadRequest: HTTPStatus.BAD_REQUEST,
    RequestTimeout: HTTPStatus.REQUEST_TIMEOUT,
    UriTooLong: HTTPStatus.REQUEST_URI_TOO_LONG,
    RequestHeaderFieldsTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    WrongInstallation: HTTPStatus.SERVICE_UNAVAILABLE,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def challenge(*, token_given: bool) -> str:
    """The value of `WWW-Authenticate` (RFC 6750, section 3)."""
    return 'Bearer realm="training-sessions"' + (', error="invalid_token"' if token_given else "")


def error_response(error: ServiceError, request_id: str) -> Response:
    body = {
        "error": {
            "code": error.code,
            "message": error.message,
            "details": {**error.details, "requestId": request_id},
        }
    }
    response = Response(
        orjson.dumps(body), STATUS_BY_ERROR[type(error)], media_type="application/json"
    )
    if isinstance(error, Unauthenticated | UserGone):
        response.headers["WWW-Authenticate"] = challenge(token_given=error.token_given)
    if isinstance(error, UnsupportedContentCoding):
        response.headers["Accept-Encoding"] = "identity"  # RFC 9110, section 15.5.16
    if isinstance(error, Overloaded | TooManyRequests | DependencyUnavailable | NotReady):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    return response


def error_of_router(exc: HTTPException) -> ServiceError:
    """The 404 and 405 of Starlette's router."""
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed((exc.headers or {})["Allow"].split(", "))
    return NotFound()
