"""Errors of HTTP itself, and how every error is answered.

ServiceError
└── RequestError
    ├── NotFound, MethodNotAllowed
    ├── Unauthenticated
    ├── ValidationFailed
    ├── PayloadTooLarge, UnsupportedMediaType
    ├── NotReady
    └── InternalError
"""

from http import HTTPStatus
from typing import Any

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.application.errors import DependencyUnavailable, Overloaded, UserGone
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

log = structlog.get_logger("service.http")


class RequestError(ServiceError):
    pass


class NotFound(RequestError):
    code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is nothing at this path.")


class MethodNotAllowed(RequestError):
    code = "METHOD_NOT_ALLOWED"

    def __init__(self) -> None:
        super().__init__("This path does not answer to this method.")


class Unauthenticated(RequestError):
    """`token_given`: there was a token, and it was no good (RFC 6750, section 3.1)."""

    code = "UNAUTHENTICATED"

    def __init__(self, *, token_given: bool = True) -> None:
        super().__init__(
            "The access token is not valid." if token_given else "An access token is needed."
        )
        self.token_given = token_given


class ValidationFailed(RequestError):
    """`issues`: made by `issue`, one for each part that is wrong."""

    code = "VALIDATION_ERROR"

    def __init__(self, *issues: dict[str, Any]) -> None:
        super().__init__("The request is not valid.", {"issues": list(issues)})


def issue(path: list[str | int], code: str, message: str) -> dict[str, Any]:
    """What is wrong with one part of a request."""
    return {"path": path, "code": code, "message": message}


class PayloadTooLarge(RequestError):
    code = "PAYLOAD_TOO_LARGE"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body is larger than {max_bytes} bytes.", {"maxBytes": max_bytes})


class UnsupportedMediaType(RequestError):
    code = "UNSUPPORTED_MEDIA_TYPE"

    def __init__(self) -> None:
        super().__init__("The body has to be application/json.")


class NotReady(RequestError):
    """`checks`: what was looked at, each "ok" or what is wrong with it."""

    code = "NOT_READY"
    retry_after = 5

    def __init__(self, checks: dict[str, str]) -> None:
        super().__init__("The service is not ready.", {"checks": checks})


class InternalError(RequestError):
    code = "INTERNAL_ERROR"

    def __init__(self) -> None:
        super().__init__("Something went wrong here. Name the request id when you report it.")


STATUS: dict[type[ServiceError], HTTPStatus] = {
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    UserGone: HTTPStatus.UNAUTHORIZED,
    ValidationFailed: HTTPStatus.BAD_REQUEST,
    PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
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
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def challenge(*, token_given: bool) -> str:
    """RFC 6750, section 3."""
    return 'Bearer realm="training-sessions"' + (', error="invalid_token"' if token_given else "")


def error_response(error: ServiceError, request_id: str) -> Response:
    body = {
        "error": {
            "code": error.code,
            "message": error.message,
            "details": {**error.details, "requestId": request_id},
        }
    }
    response = Response(orjson.dumps(body), STATUS[type(error)], media_type="application/json")
    if isinstance(error, Unauthenticated | UserGone):
        response.headers["WWW-Authenticate"] = challenge(token_given=error.token_given)
    if isinstance(error, Overloaded | DependencyUnavailable | NotReady):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def on_service_error(request: Request[Any], exc: Exception) -> Response:
    assert isinstance(exc, ServiceError)  # noqa: S101  it is registered for no other
    request_id: str = request.state["request_id"]
    if isinstance(exc, DependencyUnavailable):
        log.warning(
            "unavailable", dependency=exc.dependency, request_id=request_id, exc_info=exc.__cause__
        )
    return error_response(exc, request_id)


async def on_http_exception(request: Request, exc: Exception) -> Response:
    """The router's own 404 and 405, in our words."""
    assert isinstance(exc, HTTPException)  # noqa: S101  it is registered for no other
    wrong_method = exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    error = MethodNotAllowed() if wrong_method else NotFound()
    response = error_response(error, request.state["request_id"])
    if wrong_method:
        allowed = (exc.headers or {})["Allow"].split(", ")
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response
