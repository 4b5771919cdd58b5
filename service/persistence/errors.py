# SPDX-License-Identifier: MIT
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
    TransactionFailed,
    UserGone,
    WrongInstallation,
)
from service.persistence.causes import STANDBY_IS_AWAY, server_message, statement_cause

DATABASE, READS, WRITES, POOLER = "database", "reads", "writes", "pooler"
"""What DependencyUnavailable names: the connection, work that the server refuses, its pooler."""

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
    "57P04",  # database_dropped
    "57P05",  # idle_session_timeout
}
_USER_GONE = {"23503"}  # foreign_key_violation: on Supabase, sessions belong to auth.users

_CANNOT_SERVE = {
    READ_ONLY: "the database can only be read",
    "53": "the database lacks resources",
    "53100": "the disk of the database is full",
    "53200": "the database is out of memory",
    "53300": "the database has too many connections",
    "53400": "a limit in the configuration of the database is exceeded",
    "58": "the operating system of the database fails",
    "58030": "the disk of the database fails",
    "58P01": "the database cannot find one of its files",
    "XX": "the database has an internal error",
    "XX001": "the data of the database are damaged",
    "XX002": "an index of the database is damaged",
}
"""The database cannot do the work, whatever the request is. The words repeat nothing of a row.

By SQLSTATE, or by its class for those without words of their own.
"""

_PREPARED_STATEMENT_IS_GONE = {
    "26000",  # invalid_sql_statement_name: it does not exist
    "42P05",  # duplicate_prepared_statement: another client's has its name
}
_PROTOCOL_VIOLATION = "08P01"  # for example another client's statement, with other parameters
_WRONG_INSTALLATION = (
    "42",  # syntax error or access rule violation: a missing table, column, function or grant
    "3F",  # invalid schema name
    "28",  # invalid authorization specification
    "0A",  # feature not supported
    "22023",  # invalid_parameter_value: a missing role
    "23502",  # not_null_violation: a column that this version does not know
    "55",  # object not in prerequisite state; lock_not_available is in _CONTENDED
)
"""Prefixes of SQLSTATEs: the statements are fixed, so the schema is not the one they need."""

_MIGRATE = (
    "run `migrate` of this version, with --grant-to, --grant-relay-to or --grant-eraser-to for"
    " the login"
)
_POOLER = (
    "prepared statements do not stay with their connection: a pooler in transaction mode needs"
    " SERVICE_DATABASE_TRANSACTION_POOLER=true, and one in statement mode cannot be used"
)
_DISCREET = {_POOLER, STANDBY_IS_AWAY, *_CANNOT_SERVE.values()}

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
def translate_errors(part: str = DATABASE) -> Iterator[None]:
    """For statements before COMMIT, whose failure means that nothing was written.

    `part`: what DependencyUnavailable names if the server refuses the work.
    """
    try:
        yield
    except DRIVER_ERRORS as exc:
        translation = _translation(_driver_error(exc), part)
        if translation is None:
            raise
        raise translation from exc


@contextmanager
def translate_commit_errors() -> Iterator[None]:
    """For COMMIT, where only the server's refusal means that nothing was written."""
    try:
        yield
    except DRIVER_ERRORS as exc:
        cause = _driver_error(exc)
        if not _is_refusal(cause):
            raise CommitUnknown(statement_cause(cause)) from exc
        raise


def unavailable(exc: BaseException) -> DependencyUnavailable:
    """For the first statements on a new connection: without them, there is no connection."""
    cause = _driver_error(exc)
    translation = _translation(cause, DATABASE)
    if isinstance(translation, DependencyUnavailable):
        return translation
    words = translation.cause if isinstance(translation, TransactionFailed) else ""
    return DependencyUnavailable(DATABASE, words or statement_cause(cause))


def explain(exc: BaseException) -> str:
    """A sentence for the operator who ran a command."""
    if isinstance(exc, CommitUnknown):
        return f"The result of COMMIT is not known: {exc.cause}. Run the same command again."
    error = exc if isinstance(exc, DRIVER_ERRORS) else exc.__cause__ or exc
    answer = server_message(_driver_error(error))
    if isinstance(exc, WrongInstallation | DBAPIError) and answer:
        return f"The database refuses: {answer}"
    cause = getattr(exc, "cause", None) or statement_cause(_driver_error(error))
    return (
        f"The database refuses: {cause}" if answer else f"The database cannot be reached: {cause}."
    )


def _translation(exc: BaseException, part: str) -> Exception | None:
    state = _sqlstate(exc)
    cause = _POOLER if state == _PROTOCOL_VIOLATION else statement_cause(exc)
    if state in _CONTENDED:
        return Contended(cause)
    if state in _TIMED_OUT:
        return TimedOut(cause)
    if state in _USER_GONE:
        return UserGone()
    if isinstance(exc, asyncpg.InvalidCachedStatementError) or _is_connection_lost(exc, state):
        return ConnectionLost(cause)
    return _unavailability(state, cause, part)


def _unavailability(state: str, cause: str, part: str) -> DependencyUnavailable | None:
    if state in _PREPARED_STATEMENT_IS_GONE:
        return DependencyUnavailable(POOLER, _POOLER)
    if words := _CANNOT_SERVE.get(state) or _CANNOT_SERVE.get(state[:2]):
        return DependencyUnavailable(part, f"{words} ({state})")
    if state.startswith(_WRONG_INSTALLATION):
        return WrongInstallation(part, f"{cause}: {_MIGRATE}")
    return None


def is_wrong_installation(exc: DBAPIError) -> bool:
    state = _sqlstate(_driver_error(exc))
    return state.startswith(_WRONG_INSTALLATION) and state not in _CONTENDED


def is_forbidden(exc: DBAPIError) -> bool:
    return _sqlstate(_driver_error(exc)) == "42501"  # insufficient_privilege


def discreet(cause: str) -> str:
    """What of a cause anyone may read, without a token."""
    return cause if cause.partition(" (")[0] in _DISCREET else "fail; the log says why"


def _driver_error(exc: BaseException) -> BaseException:
    """SQLAlchemy's own attribute for it fails for a statement that the server does not know."""
    if isinstance(exc, DBAPIError) and exc.orig:
        return exc.orig.__cause__ or exc.orig
    return exc


def _sqlstate(exc: BaseException) -> str:
    """Empty if the error is not the server's."""
    return getattr(exc, "sqlstate", None) or ""


def _is_connection_lost(exc: BaseException, state: str) -> bool:
    if state:
        return state.startswith("08") or state in _SERVER_ENDS_CONNECTION
    return not isinstance(exc, ValueError | asyncpg.DataError)  # these refuse an argument


def _is_refusal(exc: BaseException) -> bool:
    """An ERROR ends its transaction and not its connection; a FATAL may come after the commit."""
    state = _sqlstate(exc)
    is_error = getattr(exc, "severity_en", None) == "ERROR"
    return is_error and not state.startswith(_ABOUT_CONNECTIONS)
