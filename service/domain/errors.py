# SPDX-License-Identifier: MIT
"""Errors of the domain: each names the rule that refuses a command.

Clients switch on `code`; every variable part of `message` is in `details`.
"""

from collections.abc import Mapping
from typing import ClassVar, Self
from uuid import UUID


class ServiceError(Exception):
    """`message`: the message of the class, unless each error has its own."""

    code: ClassVar[str]
    message: str

    def __init__(
        self, message: str | None = None, details: Mapping[str, object] | None = None
    ) -> None:
        self.message = message or self.message
        self.details = dict(details or {})
        super().__init__(self.message)

    def copy(self) -> Self:
        """One for each caller: raising an exception adds a traceback to it."""
        another = type(self).__new__(type(self), *self.args)
        another.__dict__.update(self.__dict__)
        another.__cause__ = self.__cause__
        return another


class DomainError(ServiceError):
    """A rule of training sessions refuses the command; nothing was changed."""


class SessionNotFound(DomainError):
    """The same answer for a session that does not exist and for another user's session."""

    code = "SESSION_NOT_FOUND"
    message = "This session does not exist."


class InvalidStatus(DomainError):
    code = "INVALID_STATUS"

    def __init__(self, session_id: UUID, *, current: str, required: str) -> None:
        super().__init__(
            f"The session is {current}; it must be {required}.",
            {"sessionId": str(session_id), "currentStatus": current, "requiredStatus": required},
        )


class StatusTooEarly(InvalidStatus):
    """The session has not reached the required status."""


class StatusTooLate(InvalidStatus):
    """The session has passed the required status."""


class ActiveSessionExists(DomainError):
    code = "ACTIVE_SESSION_EXISTS"

    def __init__(self, active_session_id: UUID) -> None:
        super().__init__(
            f"The session {active_session_id} is in progress; it must end before another starts.",
            {"activeSessionId": str(active_session_id)},
        )


class NoRepetitions(DomainError):
    code = "NO_REPETITIONS"
    message = "A completed session has at least one repetition."

    def __init__(self, session_id: UUID) -> None:
        super().__init__(details={"sessionId": str(session_id)})


class InvalidText(DomainError):
    text_name: ClassVar[str]

    @classmethod
    def too_long(cls, *, length: int, max_length: int) -> Self:
        return cls(
            f"The {cls.text_name} may have {max_length} characters, not {length}.",
            {"maxLength": max_length, "length": length},
        )

    @classmethod
    def forbidden(cls, character: str, *, index: int) -> Self:
        code_point = f"U+{ord(character):04X}"
        return cls(
            f"The {cls.text_name} may not contain {code_point}, found at index {index}.",
            {"codePoint": code_point, "index": index},
        )


class InvalidReason(InvalidText):
    code = "INVALID_REASON"
    text_name = "reason"


class InvalidNotes(InvalidText):
    code = "INVALID_NOTES"
    text_name = "notes"


class PreconditionFailed(DomainError):
    """`details.reason` says why no tag of If-Match matches."""

    code = "PRECONDITION_FAILED"

    def __init__(self, session_id: UUID, *, current_version: int) -> None:
        super().__init__(
            f"The session is at version {current_version}, which If-Match does not name.",
            {
                "sessionId": str(session_id),
                "currentVersion": current_version,
                "reason": "other_version",
            },
        )

    def because(self, reason: str, explanation: str) -> Self:
        another = self.copy()
        version = self.details["currentVersion"]
        another.message = f"The session is at version {version}. {explanation}"
        another.details = self.details | {"reason": reason}
        return another


class IdempotencyKeyReused(DomainError):
    code = "IDEMPOTENCY_KEY_REUSED"
    message = "This idempotency key was used for another command."
