"""What the domain refuses, and why.

    ServiceError                 a stable code, a message, the facts behind it
    └── DomainError
        ├── SessionNotFound      no such session of this user
        ├── InvalidStatus        the session's status forbids the transition
        │   ├── StatusTooEarly   it has not come that far
        │   └── StatusTooLate    it has gone past that
        ├── ActiveSessionExists  another session of the user is in progress
        ├── NoRepetitions        nothing was trained, so nothing was completed
        ├── InvalidText          a text cannot be kept as it is
        │   ├── InvalidReason
        │   └── InvalidNotes
        ├── PreconditionFailed   the caller knows another version of the session
        └── IdempotencyKeyReused the key stands for another command

`code` is what clients switch on; every changing part of `message` is in `details`.
"""

from collections.abc import Mapping
from typing import ClassVar, Self
from uuid import UUID


class ServiceError(Exception):
    code: ClassVar[str]

    def __init__(self, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})


class DomainError(ServiceError):
    """A rule of training sessions forbids the command; nothing was changed."""


class SessionNotFound(DomainError):
    """Says the same of a session that never was and of another user's."""

    code = "SESSION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such session.")


class InvalidStatus(DomainError):
    code = "INVALID_STATUS"

    def __init__(self, session_id: UUID, *, current: str, required: str) -> None:
        super().__init__(
            f"The session is {current}; it has to be {required}.",
            {"sessionId": str(session_id), "currentStatus": current, "requiredStatus": required},
        )
        self.current = current
        self.required = required


class StatusTooEarly(InvalidStatus):
    pass


class StatusTooLate(InvalidStatus):
    pass


class ActiveSessionExists(DomainError):
    code = "ACTIVE_SESSION_EXISTS"

    def __init__(self, active_session_id: UUID) -> None:
        super().__init__(
            f"The session {active_session_id} is in progress; it has to end before another starts.",
            {"activeSessionId": str(active_session_id)},
        )


class NoRepetitions(DomainError):
    code = "NO_REPETITIONS"

    def __init__(self, session_id: UUID) -> None:
        super().__init__(
            "A completed session has at least one repetition.", {"sessionId": str(session_id)}
        )


class InvalidText(DomainError):
    what: ClassVar[str]

    @classmethod
    def too_long(cls, *, length: int, max_length: int) -> Self:
        return cls(
            f"The {cls.what} may have {max_length} characters, not {length}.",
            {"maxLength": max_length, "length": length},
        )

    @classmethod
    def forbidden(cls, character: str, *, index: int) -> Self:
        code_point = f"U+{ord(character):04X}"
        return cls(
            f"The {cls.what} may not contain {code_point}, which it has at {index}.",
            {"codePoint": code_point, "index": index},
        )


class InvalidReason(InvalidText):
    code = "INVALID_REASON"
    what = "reason"


class InvalidNotes(InvalidText):
    code = "INVALID_NOTES"
    what = "notes"


class PreconditionFailed(DomainError):
    code = "PRECONDITION_FAILED"

    def __init__(self, session_id: UUID) -> None:
        super().__init__(
            "The session has changed since the version named in If-Match.",
            {"sessionId": str(session_id)},
        )


class IdempotencyKeyReused(DomainError):
    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another command.")
