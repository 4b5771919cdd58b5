# SPDX-License-Identifier: MIT
"""Every SQLSTATE that the service knows leads to the answer that a caller needs.

The expectations are written from PostgreSQL's appendix A, not from the tables that they test.
"""

from typing import Any

import asyncpg
import pytest
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    TimedOut,
    UserGone,
    WrongInstallation,
)
from service.persistence.errors import (
    discreet,
    explain,
    is_wrong_installation,
    translate_commit_errors,
    translate_errors,
    unavailable,
)

CONTENDED = {
    "40001": "serialization failure",
    "40P01": "deadlock detected",
    "23505": "unique violation",
    "55P03": "lock not available",
}
CONNECTION_LOST = {
    "08000": "connection exception",
    "08003": "connection does not exist",
    "08006": "connection failure",
    "08P01": "protocol violation",
    "25P03": "idle in transaction session timeout",
    "25P04": "transaction timeout",
    "57P01": "admin shutdown",
    "57P02": "crash shutdown",
    "57P03": "cannot connect now",
    "57P04": "database dropped",
    "57P05": "idle session timeout",
}
CANNOT_SERVE = {
    "25006": "can only be read",
    "53000": "lacks resources",
    "53100": "disk of the database is full",
    "53200": "out of memory",
    "53300": "too many connections",
    "53400": "limit in the configuration",
    "53999": "lacks resources",
    "58999": "operating system",
    "XX999": "internal error",
    "58000": "operating system",
    "58030": "disk of the database fails",
    "58P01": "one of its files",
    "XX000": "internal error",
    "XX001": "data of the database are damaged",
    "XX002": "index of the database is damaged",
}
WRONG_INSTALLATION = {
    "42P01": "undefined table",
    "42703": "undefined column",
    "42883": "undefined function",
    "42501": "insufficient privilege",
    "3F000": "invalid schema name",
    "28000": "invalid authorization",
    "28P01": "invalid password",
    "0A000": "feature not supported",
    "22023": "invalid parameter value",
    "23502": "not null violation",
    "55000": "object not in prerequisite state",
    "55006": "object in use",
}
POOLER = {"26000": "no such prepared statement", "42P05": "duplicate prepared statement"}
OURS = {
    "22001": "string too long",
    "22003": "number out of range",
    "22021": "character not in repertoire",
    "22P02": "invalid text representation",
    "22P05": "untranslatable character",
    "23514": "check violation",
    "P0001": "raised by a trigger",
}
"""A defect of the service: the error goes to the log, and the caller gets 500."""

ANSWERS: list[tuple[str, type[Exception] | None]] = [
    *((state, Contended) for state in CONTENDED),
    ("57014", TimedOut),
    ("23503", UserGone),
    *((state, ConnectionLost) for state in CONNECTION_LOST),
    *((state, DependencyUnavailable) for state in CANNOT_SERVE | POOLER),
    *((state, WrongInstallation) for state in WRONG_INSTALLATION),
    *((state, None) for state in OURS),
]


def an_error(state: str, severity: str = "ERROR", **fields: str) -> asyncpg.PostgresError:
    """As the driver makes it from the server's message, which may be in any language."""
    known = {"S": "FEHLER", "V": severity, "C": state, "M": "It does\n not  work."}
    error: asyncpg.PostgresError = asyncpg.PostgresError.new(known | fields)
    return error


def as_sqlalchemy_raises(error: Exception) -> DBAPIError:
    driver: Any = AsyncAdapt_asyncpg_dbapi(asyncpg)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    adapted = driver.Error(str(error), error)
    adapted.__cause__ = error
    return DBAPIError("SELECT 1", None, adapted)


def translation(error: Exception, part: str = "database") -> Exception:
    with pytest.raises(Exception) as raised, translate_errors(part):  # noqa: PT011  any
        raise error
    return raised.value


@pytest.mark.parametrize("is_wrapped", [True, False], ids=["SQLAlchemy's", "the driver's"])
@pytest.mark.parametrize(("state", "answer"), ANSWERS)
def test_each_sqlstate_has_its_answer(
    state: str, answer: type[Exception] | None, is_wrapped: bool
) -> None:
    error: Exception = an_error(state)
    error = as_sqlalchemy_raises(error) if is_wrapped else error

    found = translation(error)

    if answer is None:
        assert found is error
    else:
        assert type(found) is answer
        assert found.__cause__ is error


@pytest.mark.parametrize(("state", "words"), CANNOT_SERVE.items())
def test_says_what_the_database_cannot_do_and_lets_anyone_read_it(state: str, words: str) -> None:
    found = translation(an_error(state), "writes")

    assert isinstance(found, DependencyUnavailable)
    assert (found.dependency, words in found.cause) == ("writes", True)
    assert found.cause.endswith(f" ({state})")
    assert discreet(found.cause) == found.cause


@pytest.mark.parametrize("state", WRONG_INSTALLATION)
def test_a_wrong_installation_is_explained_to_operators_alone(state: str) -> None:
    found = translation(an_error(state), "reads")

    assert isinstance(found, DependencyUnavailable)
    assert found.dependency == "reads"
    assert found.cause.startswith(f"It does not work. ({state}): run `migrate`")
    assert discreet(found.cause) == "fail; the log says why"
    assert is_wrong_installation(as_sqlalchemy_raises(an_error(state)))


@pytest.mark.parametrize("state", [*CANNOT_SERVE, *CONTENDED, *CONNECTION_LOST, *OURS, "26000"])
def test_other_errors_are_no_wrong_installation(state: str) -> None:
    assert not is_wrong_installation(as_sqlalchemy_raises(an_error(state)))


@pytest.mark.parametrize("state", POOLER)
def test_names_the_setting_of_a_transaction_pooler(state: str) -> None:
    found = translation(an_error(state), "writes")

    assert isinstance(found, DependencyUnavailable)
    assert found.dependency == "pooler"
    assert "SERVICE_DATABASE_TRANSACTION_POOLER=true" in found.cause
    assert discreet(found.cause) == found.cause


def test_a_protocol_violation_may_come_from_a_pooler_too() -> None:
    found = translation(an_error("08P01"))

    assert isinstance(found, ConnectionLost)
    assert "SERVICE_DATABASE_TRANSACTION_POOLER=true" in found.cause


LOST: list[Exception] = [
    ConnectionResetError("reset"),
    OSError("no route to host"),
    TimeoutError(),
    asyncpg.ConnectionDoesNotExistError("closed in the middle"),
    asyncpg.InterfaceError("the connection is closed"),
    asyncpg.InternalClientError("unexpected message"),
    asyncpg.InvalidCachedStatementError("cached plan must not change its type"),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_an_error_without_an_answer_of_the_server_is_a_lost_connection(error: Exception) -> None:
    assert isinstance(translation(error), ConnectionLost)
    assert isinstance(translation(as_sqlalchemy_raises(error)), ConnectionLost)


def test_an_argument_that_the_driver_refuses_is_a_defect_of_the_service() -> None:
    refused = as_sqlalchemy_raises(asyncpg.DataError("value out of int32 range"))
    assert translation(refused) is refused


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("ours"), AssertionError("ours")])
def test_leaves_errors_of_the_service_alone(error: Exception) -> None:
    assert translation(error) is error


def commit_error(error: Exception) -> Exception:
    with pytest.raises(Exception) as raised, translate_commit_errors():  # noqa: PT011  any
        raise error
    return raised.value


REFUSED_AT_COMMIT = [*CONTENDED, *CANNOT_SERVE, *OURS, "23503", "57014", "40003", "42P01"]


@pytest.mark.parametrize("state", REFUSED_AT_COMMIT)
def test_a_commit_that_the_server_refuses_has_not_happened(state: str) -> None:
    error = as_sqlalchemy_raises(an_error(state))
    assert commit_error(error) is error


@pytest.mark.parametrize("severity", ["FATAL", "PANIC"])
@pytest.mark.parametrize("state", [*REFUSED_AT_COMMIT, *CONNECTION_LOST])
def test_a_commit_that_ends_with_its_connection_is_uncertain(state: str, severity: str) -> None:
    """The server may end the connection after the commit, while it waits for a replica."""
    error = as_sqlalchemy_raises(an_error(state, severity))

    found = commit_error(error)

    assert isinstance(found, CommitUnknown)
    assert found.__cause__ is error
    assert found.cause


@pytest.mark.parametrize(
    "state", [state for state in CONNECTION_LOST if state.startswith(("08", "57P"))]
)
def test_an_error_about_the_connection_leaves_its_commit_uncertain(state: str) -> None:
    assert isinstance(commit_error(an_error(state)), CommitUnknown)


@pytest.mark.parametrize("error", LOST[:-1], ids=lambda error: type(error).__name__)
def test_a_commit_without_an_answer_is_uncertain(error: Exception) -> None:
    assert isinstance(commit_error(error), CommitUnknown)
    assert isinstance(commit_error(as_sqlalchemy_raises(error)), CommitUnknown)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (an_error("53300", "FATAL"), "the database has too many connections (53300)"),
        (an_error("57P03", "FATAL"), "It does not work. (57P03)"),
        (an_error("40001"), "It does not work. (40001)"),
        (OSError("no route"), "the connection broke, or was closed"),
        (an_error("P0001"), "It does not work. (P0001)"),
    ],
    ids=["too many", "starting", "contended", "no route", "raised by a function"],
)
def test_a_connection_that_cannot_be_made_is_unavailable(error: Exception, cause: str) -> None:
    found = unavailable(error)

    assert found.dependency == "database"
    assert found.cause.startswith(cause)


def test_a_connection_that_another_client_disturbs_names_the_pooler() -> None:
    assert "SERVICE_DATABASE_TRANSACTION_POOLER=true" in unavailable(an_error("08P01")).cause


def caused(by: Exception, words: str, error: Exception | None = None) -> Exception:
    error = error or DependencyUnavailable("database", words)
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (an_error("53100"), "The database refuses: It does not work."),
        (OSError("no route"), "The database cannot be reached: the connection broke"),
        (caused(OSError(), "no such host"), "The database cannot be reached: no such host."),
        (caused(an_error("53100"), "its disk is full"), "The database refuses: its disk is full"),
        (
            caused(OSError(), "", an_error("42P01")),
            "The database refuses: It does not work. (42P01)",
        ),
        (
            caused(an_error("57P01"), "", CommitUnknown("the server has closed the connection")),
            "The result of COMMIT is not known: the server has closed the connection.",
        ),
    ],
    ids=["refused", "broken", "explained", "refused and explained", "caused by another", "unknown"],
)
def test_explains_an_error_to_the_operator_of_a_command(error: Exception, sentence: str) -> None:
    assert explain(error).startswith(sentence)


def test_repeats_no_message_of_a_trigger_because_it_may_quote_a_row() -> None:
    error = an_error("42501", F="pl_exec.c", M="may not write: shoulder pain")

    found = translation(error)

    assert isinstance(found, DependencyUnavailable)
    assert found.cause.startswith("InsufficientPrivilegeError (42501)")


def test_a_long_message_of_the_server_is_cut() -> None:
    found = translation(an_error("40001", M="x" * 1000))
    assert isinstance(found, Contended)
    assert found.cause == f"{'x' * 300} (40001)"


def test_names_the_kind_of_an_error_that_the_server_did_not_answer() -> None:
    found = translation(asyncpg.InternalClientError("unexpected message"))
    assert isinstance(found, ConnectionLost)
    assert found.cause == "InternalClientError"
