# SPDX-License-Identifier: MIT
"""Errors of HTTP itself; error_responses.py maps each to its status."""

from collections.abc import Iterable
from typing import Self

from typing_extensions import TypedDict

from service.domain.errors import ServiceError
from service.http.token_refusals import TokenRefusal


class NotFound(ServiceError):
    code = "NOT_FOUND"
    message = "This path does not exist."


class MethodNotAllowed(ServiceError):
    code = "METHOD_NOT_ALLOWED"
    message = "This path does not support this method."

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = sorted(allowed)
        super().__init__()


class Unauthenticated(ServiceError):
    """`refusal` is for the log: clients only learn whether there was a token (RFC 6750, 3.1)."""

    code = "UNAUTHENTICATED"

    def __init__(self, refusal: TokenRefusal) -> None:
        self.refusal = refusal
        self.token_given = refusal is not TokenRefusal.ABSENT
        super().__init__(
            "The access token is not valid." if self.token_given else "An access token is required."
        )


class Issue(TypedDict):
    """A part of the request that is not valid; `path` leads to it."""

    path: list[str | int]
    code: str
    message: str


class ValidationFailed(ServiceError):
    """One issue for each part of the request that is not valid."""

    code = "VALIDATION_ERROR"

    def __init__(self, *issues: Issue) -> None:
        super().__init__("The request is not valid.", {"issues": list(issues)})

    @classmethod
    def at(cls, path: list[str | int], code: str, message: str) -> Self:
        return cls(Issue(path=path, code=code, message=message))


class PayloadTooLarge(ServiceError):
    code = "PAYLOAD_TOO_LARGE"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body is larger than {max_bytes} bytes.", {"maxBytes": max_bytes})


class UnsupportedMediaType(ServiceError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "The body must be application/json."

    def __init__(self) -> None:
        super().__init__(details={"header": "Content-Type"})


class UnsupportedContentCoding(ServiceError):
    """The code is that of the status, 415; only this one has `Accept-Encoding`."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "The body must be sent as it is, without compression or another Content-Encoding."

    def __init__(self) -> None:
        super().__init__(details={"header": "Content-Encoding"})


class BadRequest(ServiceError):
    code = "BAD_REQUEST"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The request is not valid HTTP: {reason}.", {"reason": reason})


class RequestTimeout(ServiceError):
    code = "REQUEST_TIMEOUT"

    def __init__(self, part: str, timeout: float) -> None:
        super().__init__(
            f"The {part} did not arrive within {timeout:g} s.",
            {"part": part, "timeoutSeconds": timeout},
        )


class UriTooLong(ServiceError):
    code = "URI_TOO_LONG"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The target is longer than {max_bytes} bytes.", {"maxBytes": max_bytes})


class RequestHeaderFieldsTooLarge(ServiceError):
    code = "REQUEST_HEADER_FIELDS_TOO_LARGE"

    def __init__(self, max_bytes: int, max_count: int) -> None:
        super().__init__(
            f"The headers are more than {max_count}, or larger than {max_bytes} bytes.",
            {"maxCount": max_count, "maxBytes": max_bytes},
        )


class ExpectationFailed(ServiceError):
    code = "EXPECTATION_FAILED"
    message = "The only supported expectation is 100-continue."


class NotReady(ServiceError):
    """`checks`: the name of each check, with "ok" or the problem."""

    code = "NOT_READY"
    retry_after = 5

    def __init__(self, checks: dict[str, str]) -> None:
        super().__init__("The service is not ready.", {"checks": checks})


class InternalError(ServiceError):
    code = "INTERNAL_ERROR"
    message = "An unexpected error occurred. Quote the request id when you report it."
