"""Driver errors translated into the application's: the one place that knows SQLSTATEs.

Classes and codes: PostgreSQL documentation, appendix A.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    TimedOut,
    UserGone,
)

READ_ONLY = "25006"
"""read_only_sql_transaction: a standby, or a server that takes no writes since its disk is full."""

_CONTENDED = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "23505",  # unique_violation: another transaction's row came first
    "55P03",  # lock_not_available: lock_timeout
}
_TIMED_OUT = {"57014"}  # query_canceled: statement_timeout
_SERVER_ENDS_CONNECTION = {
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "57P05",  # idle_session_timeout
}
_USER_GONE = {"23503"}  # foreign_key_violation: on Supabase, sessions belong to auth.users
_CANNOT_SERVE = {
    READ_ONLY,
    "53000",  # insufficient_resources
    "53100",  # disk_full
    "53200",  # out_of_memory
    "53300",  # too_many_connections
}
_ABOUT_CONNECTIONS = ("08", "57P")
"""Prefixes of SQLSTATEs that say that a connection ends, and nothing of its transaction."""


DRIVER_ERRORS = (
    DBAPIError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server's last message arrives during a statement
    OSError,
)
"""SQLAlchemy wraps the driver's errors in DBAPIError, except those of connecting."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """For statements before COMMIT, whose failure means that nothing was written."""
    try:
        yield
    except DRIVER_ERRORS as exc:
        cause = _driver_error(exc)
        state = _sqlstate(cause)
        if state in _CONTENDED:
            raise Contended from exc
        if state in _TIMED_OUT:
            raise TimedOut from exc
        if state in _USER_GONE:
            raise UserGone from exc
        if state in _CANNOT_SERVE:
            raise DependencyUnavailable("database") from exc
        if _is_connection_lost(cause, state):
            raise ConnectionLost from exc
        raise


@contextmanager
def translate_commit_errors() -> Iterator[None]:
    """For COMMIT, where only the server's refusal means that nothing was written."""
    try:
        yield
    except DRIVER_ERRORS as exc:
        if not _is_refusal(_driver_error(exc)):
            raise CommitUnknown from exc
        raise


def _driver_error(exc: BaseException) -> BaseException:
    return exc.driver_exception if isinstance(exc, DBAPIError) else exc


def _sqlstate(exc: BaseException) -> str | None:
    return getattr(exc, "sqlstate", None)


def _is_connection_lost(exc: BaseException, state: str | None) -> bool:
    if state:
        return state.startswith("08") or state in _SERVER_ENDS_CONNECTION
    return not isinstance(exc, ValueError | asyncpg.DataError)  # these refuse an argument


def _is_refusal(exc: BaseException) -> bool:
    """An ERROR ends its transaction and not its connection; a FATAL may come after the commit."""
    state = _sqlstate(exc) or ""
    is_error = getattr(exc, "severity_en", None) == "ERROR"
    return is_error and not state.startswith(_ABOUT_CONNECTIONS)
