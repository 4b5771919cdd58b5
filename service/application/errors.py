"""What keeps a command from being executed, besides the domain's own rules.

ServiceError
├── Overloaded             not executed, for certain; try again later
├── DependencyUnavailable  the database or the key set cannot be reached
└── UserGone               the caller's token outlived the caller's account; nothing was written

TransactionFailed          a unit of work did not end as asked, and may when tried again
├── Contended              another transaction was in the way; nothing was written
├── TimedOut               a statement took too long; nothing was written
├── ConnectionLost         the connection broke before the write; nothing was written
└── CommitUnknown          the connection broke during the write; written or not
"""

from typing import ClassVar

from service.domain.errors import ServiceError


class Overloaded(ServiceError):
    code = "OVERLOADED"
    retry_after: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__("The service is busy; the request was not executed. Try again.")


class DependencyUnavailable(ServiceError):
    """`dependency` names what is missing, for the logs; clients learn only that something is."""

    code = "DEPENDENCY_UNAVAILABLE"
    retry_after: ClassVar[int] = 2

    def __init__(self, dependency: str) -> None:
        super().__init__("Something that the service depends on cannot be reached. Try again.")
        self.dependency = dependency


class UserGone(ServiceError):
    code = "UNAUTHENTICATED"
    token_given: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__("The access token is not valid.")


class TransactionFailed(Exception):
    """`blames_one`: one of many commands may be the reason, and fail all of them again."""

    blames_one: ClassVar[bool] = False


class Contended(TransactionFailed):
    blames_one = True


class TimedOut(TransactionFailed):
    pass


class ConnectionLost(TransactionFailed):
    pass


class CommitUnknown(TransactionFailed):
    pass
