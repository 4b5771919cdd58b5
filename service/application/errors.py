# SPDX-License-Identifier: MIT
"""Errors of execution, besides the rules of the domain."""

from typing import ClassVar

from service.domain.errors import ServiceError


class Overloaded(ServiceError):
    """The command was certainly not executed; the caller may retry."""

    code = "OVERLOADED"
    message = "The service is busy; the request was not executed. Try again."
    retry_after: ClassVar[int] = 1


class TooManyRequests(ServiceError):
    """This user alone has too many commands waiting; the command was certainly not executed."""

    code = "TOO_MANY_REQUESTS"
    retry_after: ClassVar[int] = 1

    def __init__(self, max_waiting: int) -> None:
        super().__init__(
            f"{max_waiting} of your commands are waiting; this one was not executed. Try again.",
            {"maxWaiting": max_waiting},
        )


class DependencyUnavailable(ServiceError):
    """For the logs: `dependency` names the missing part, and `cause` says why it is missing.

    Clients learn neither.
    """

    code = "DEPENDENCY_UNAVAILABLE"
    message = "Something that the service depends on cannot be reached. Try again."
    retry_after: ClassVar[int] = 2

    def __init__(self, dependency: str, cause: str = "") -> None:
        super().__init__()
        self.dependency = dependency
        self.cause = cause or type(self).__name__


class WrongInstallation(DependencyUnavailable):
    """A table, column, function, role or grant is missing: it does not help to wait."""


class UserGone(ServiceError):
    """The token is valid, but its user was deleted; nothing was written."""

    code = "UNAUTHENTICATED"
    message = "The access token is not valid."
    token_given: ClassVar[bool] = True


class WrongLogin(Exception):
    """A login of the database may do more or less than it must; an operator must change it.

    The message is for people and holds no secret.
    """


class TransactionFailed(Exception):
    """A transaction failed, and may succeed when it is retried. `cause`: why, for the logs.

    `blames_one`: one command of the group may be the cause, and would fail the group again.
    """

    blames_one: ClassVar[bool] = False

    def __init__(self, cause: str = "") -> None:
        super().__init__(cause)
        self.cause = cause or type(self).__name__


class Contended(TransactionFailed):
    """Another transaction was in the way; nothing was written."""

    blames_one = True


class TimedOut(TransactionFailed):
    """A statement took too long; nothing was written."""


class ConnectionLost(TransactionFailed):
    """The connection broke before COMMIT; nothing was written."""


class CommitUnknown(TransactionFailed):
    """COMMIT may or may not have happened, or a failover may still undo it."""
