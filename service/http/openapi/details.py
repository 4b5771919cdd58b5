# SPDX-License-Identifier: MIT
"""`details` of every error code, as types."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from service.domain.session import SessionStatus
from service.http.dtos import Uuid, Version
from service.http.errors import Issue

Count = Annotated[int, Field(ge=0)]


class Details(TypedDict):
    requestId: Annotated[str, Field(description="As in `X-Request-Id`.")]


class IssueDetails(Details):
    issues: list[Issue]


class InvalidStatusDetails(Details):
    sessionId: Uuid
    currentStatus: SessionStatus
    requiredStatus: SessionStatus


class ActiveSessionDetails(Details):
    activeSessionId: Uuid


class SessionDetails(Details):
    sessionId: Uuid


class PreconditionDetails(Details):
    sessionId: Uuid
    currentVersion: Version
    reason: Literal["other_version", "weak_tag", "unknown_tag"]


class InvalidTextDetails(Details):
    """`codePoint` and `index` of a forbidden character; `length` and `maxLength` of a long text."""

    codePoint: NotRequired[Annotated[str, Field(pattern="^U\\+[0-9A-F]{4,6}$")]]
    index: NotRequired[Count]
    length: NotRequired[Count]
    maxLength: NotRequired[Count]


class MaxWaitingDetails(Details):
    maxWaiting: Count


class MaxBytesDetails(Details):
    maxBytes: Count


class HeadLimitDetails(Details):
    maxCount: Count
    maxBytes: Count


class HeaderDetails(Details):
    header: Literal["Content-Type", "Content-Encoding"]


class ReasonDetails(Details):
    reason: Annotated[str, Field(description="What is wrong with the request, for developers.")]


class TimeoutDetails(Details):
    part: Literal["headers", "body"]
    timeoutSeconds: Annotated[float, Field(gt=0)]


class ChecksDetails(Details):
    checks: Annotated[dict[str, str], Field(description='Each check; "ok", or the problem.')]


DETAILS: dict[str, Any] = {
    "VALIDATION_ERROR": IssueDetails,
    "INVALID_STATUS": InvalidStatusDetails,
    "ACTIVE_SESSION_EXISTS": ActiveSessionDetails,
    "NO_REPETITIONS": SessionDetails,
    "PRECONDITION_FAILED": PreconditionDetails,
    "INVALID_REASON": InvalidTextDetails,
    "INVALID_NOTES": InvalidTextDetails,
    "TOO_MANY_REQUESTS": MaxWaitingDetails,
    "PAYLOAD_TOO_LARGE": MaxBytesDetails,
    "URI_TOO_LONG": MaxBytesDetails,
    "REQUEST_HEADER_FIELDS_TOO_LARGE": HeadLimitDetails,
    "UNSUPPORTED_MEDIA_TYPE": HeaderDetails,
    "BAD_REQUEST": ReasonDetails,
    "REQUEST_TIMEOUT": TimeoutDetails,
    "NOT_READY": ChecksDetails,
}
"""By code. A code that is missing here has `Details` alone."""
