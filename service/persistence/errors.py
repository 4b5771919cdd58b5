"""Driver errors in the application's words: the one place that knows SQLSTATEs.

Classes and codes: PostgreSQL documentation, appendix A.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from service.application.errors import CommitUnknown, ConnectionLost, Contended, RowLocked

_CONTENDED = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "23505",  # unique_violation: somebody else's row came first
}
_TOOK_TOO_LONG = {
    "55P03",  # lock_not_available: lock_timeout
    "57014",  # query_canceled: statement_timeout
}
_SERVER_ENDS_CONNECTION = {
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "57P05",  # idle_session_timeout
}
_CERTAINLY_ROLLED_BACK = ("23", "40")


def sqlstate(exc: BaseException) -> str | None:
    return getattr(getattr(exc, "orig", exc), "sqlstate", None)


def _is_connection_lost(exc: BaseException) -> bool:
    if isinstance(exc, OSError):
        return True
    state = sqlstate(exc) or ""
    return (
        getattr(exc, "connection_invalidated", False)
        or state.startswith("08")
        or state in _SERVER_ENDS_CONNECTION
    )


@contextmanager
def translated() -> Iterator[None]:
    """Before COMMIT, when every failure means that nothing was written."""
    try:
        yield
    except (DBAPIError, OSError) as exc:
        if _is_connection_lost(exc):
            raise ConnectionLost from exc
        if sqlstate(exc) in _CONTENDED:
            raise Contended from exc
        if sqlstate(exc) in _TOOK_TOO_LONG:
            raise RowLocked from exc
        raise


@contextmanager
def translated_commit() -> Iterator[None]:
    """At COMMIT, when only the server's refusal means that nothing was written."""
    try:
        yield
    except (DBAPIError, OSError) as exc:
        if (sqlstate(exc) or "").startswith(_CERTAINLY_ROLLED_BACK):
            raise Contended from exc
        raise CommitUnknown from exc
