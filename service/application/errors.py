"""Errors of execution, besides the rules of the domain."""

from typing import ClassVar

from service.domain.errors import ServiceError


class Overloaded(ServiceError):
    """The command was certainly not executed; the caller may retry."""

    code = "OVERLOADED"
    retry_after: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__("The service is busy; the request was not executed. Try again.")

    def copy(self) -> "Overloaded":
        """One for each caller: raising an exception adds a traceback to it."""
        return Overloaded()


class DependencyUnavailable(ServiceError):
    """`dependency` names the missing part for the logs; clients do not learn which it is."""

    code = "DEPENDENCY_UNAVAILABLE"
    retry_after: ClassVar[int] = 2

    def __init__(self, dependency: str) -> None:
        super().__init__("Something that the service depends on cannot be reached. Try again.")
        self.dependency = dependency

    def copy(self) -> "DependencyUnavailable":
        another = DependencyUnavailable(self.dependency)
        another.__cause__ = self.__cause__
        return another


class UserGone(ServiceError):
    """The token is valid, but its user was deleted; nothing was written."""

    code = "UNAUTHENTICATED"
    token_given: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__("The access token is not valid.")


class TransactionFailed(Exception):
    """A transaction failed, and may succeed when it is retried.

    `blames_one`: one command of the group may be the cause, and would fail the group again.
    """

    blames_one: ClassVar[bool] = False


class Contended(TransactionFailed):
    """Another transaction was in the way; nothing was written."""

    blames_one = True


class TimedOut(TransactionFailed):
    """A statement took too long; nothing was written."""


class ConnectionLost(TransactionFailed):
    """The connection broke before COMMIT; nothing was written."""


class CommitUnknown(TransactionFailed):
    """The connection broke during COMMIT, which may or may not have happened."""
