# SPDX-License-Identifier: MIT
"""COMMIT by name, rollback otherwise, and what each failure says about the transaction."""

from dataclasses import replace

import pytest
from sqlalchemy.exc import DBAPIError

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    TimedOut,
    UserGone,
)
from service.persistence.database import Database
from service.persistence.unit_of_work import SqlUnitOfWork
from tests.builders import a_command
from tests.persistence.stepping import open_unit_of_work
from tests.persistence.transacting import (
    KILL_CONNECTIONS,
    a_failure,
    load,
    raise_on_insert,
    run_on_insert,
    users_of,
    write,
)
from tests.running import TestDatabase


async def test_rolls_back_without_a_commit(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()

    async with open_unit_of_work(units, users_of(session)) as work:
        await work.save([a_failure(session)])

    assert (await database.row(session))["status"] == "in_progress"
    assert await database.events() == await database.outbox() == []


async def test_rolls_back_if_the_work_raises(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()

    def save_and_raise(work: SqlUnitOfWork) -> None:
        work.save([a_failure(session)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await units.run_unit_of_work(users_of(session), save_and_raise)

    assert (await database.row(session))["status"] == "in_progress"


FAILURES = [
    ("serialization_failure", Contended),
    ("deadlock_detected", Contended),
    ("unique_violation", Contended),
    ("lock_not_available", Contended),
    ("query_canceled", TimedOut),
    ("foreign_key_violation", UserGone),
    ("read_only_sql_transaction", DependencyUnavailable),
    ("insufficient_resources", DependencyUnavailable),
    ("disk_full", DependencyUnavailable),
    ("out_of_memory", DependencyUnavailable),
    ("too_many_connections", DependencyUnavailable),
    ("configuration_limit_exceeded", DependencyUnavailable),
    ("system_error", DependencyUnavailable),
    ("io_error", DependencyUnavailable),
    ("undefined_file", DependencyUnavailable),
    ("internal_error", DependencyUnavailable),
    ("data_corrupted", DependencyUnavailable),
    ("index_corrupted", DependencyUnavailable),
    ("SQLSTATE '53ABC'", DependencyUnavailable),
    ("SQLSTATE '58P03'", DependencyUnavailable),
    ("SQLSTATE 'XX003'", DependencyUnavailable),
    ("insufficient_privilege", DependencyUnavailable),
    ("undefined_table", DependencyUnavailable),
    ("undefined_column", DependencyUnavailable),
    ("undefined_function", DependencyUnavailable),
    ("undefined_object", DependencyUnavailable),
    ("invalid_schema_name", DependencyUnavailable),
    ("invalid_authorization_specification", DependencyUnavailable),
    ("invalid_parameter_value", DependencyUnavailable),
    ("datatype_mismatch", DependencyUnavailable),
    ("feature_not_supported", DependencyUnavailable),
    ("not_null_violation", DependencyUnavailable),
    ("object_not_in_prerequisite_state", DependencyUnavailable),
    ("object_in_use", DependencyUnavailable),
    ("invalid_sql_statement_name", DependencyUnavailable),
    ("duplicate_prepared_statement", DependencyUnavailable),
    ("check_violation", DBAPIError),
    ("invalid_text_representation", DBAPIError),
    ("raise_exception", DBAPIError),
]
ENDS_OF_CONNECTIONS = [
    "connection_failure",
    "protocol_violation",
    "admin_shutdown",
    "crash_shutdown",
    "cannot_connect_now",
    "database_dropped",
    "idle_session_timeout",
]
ENDS_OF_TRANSACTIONS = [
    "idle_in_transaction_session_timeout",
    "SQLSTATE '25P04'",  # transaction_timeout, which PostgreSQL has from 17 on
]


@pytest.mark.parametrize(
    ("failure", "translation"),
    [
        *FAILURES,
        *((each, ConnectionLost) for each in ENDS_OF_CONNECTIONS + ENDS_OF_TRANSACTIONS),
    ],
)
async def test_a_failed_write_says_why_nothing_was_written(
    units: Database, database: TestDatabase, failure: str, translation: type[Exception]
) -> None:
    session = await database.a_session()
    await raise_on_insert(database, failure)

    with pytest.raises(translation):
        await write(units, a_failure(session))

    assert (await database.row(session))["status"] == "in_progress"
    assert await database.outbox() == []


@pytest.mark.parametrize(
    ("failure", "translation"),
    [*FAILURES, *((each, CommitUnknown) for each in ENDS_OF_CONNECTIONS)],
)
async def test_only_a_refusal_at_commit_says_that_nothing_was_written(
    units: Database, database: TestDatabase, failure: str, translation: type[Exception]
) -> None:
    session = await database.a_session()
    await raise_on_insert(database, failure, at_commit=True)

    with pytest.raises(translation):
        await write(units, a_failure(session))

    assert (await database.row(session))["status"] == "in_progress"


async def test_an_error_repeats_nothing_that_a_user_wrote(
    units: Database, database: TestDatabase
) -> None:
    """Logs keep errors with their causes; PostgreSQL's own details may hold the row."""
    session = await database.a_session()
    written = a_failure(replace(session, notes="knee hurts", rpe=11), idempotency_key="knee-key")

    with pytest.raises(DBAPIError, match="sessions_rpe_check") as caught:
        await write(units, written)

    error: BaseException | None = caught.value
    while error:
        assert "knee" not in str(error)
        error = error.__cause__ or error.__context__


async def test_a_connection_that_ends_before_the_commit_means_that_nothing_was_written(
    units: Database, database: TestDatabase
) -> None:
    command = a_command()

    with pytest.raises(ConnectionLost):
        async with open_unit_of_work(units, frozenset({command.user_id})) as work:
            await load(work, command)
            await database.execute(KILL_CONNECTIONS)
            await load(work, command)


async def test_a_connection_that_ends_at_the_commit_leaves_the_outcome_unknown(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()
    end = "PERFORM pg_terminate_backend(pg_backend_pid())"
    await run_on_insert(database, end, at_commit=True)

    with pytest.raises(CommitUnknown):
        await write(units, a_failure(session))

    assert (await database.row(session))["status"] == "in_progress"


async def test_names_the_role_that_the_login_may_not_become(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()
    await database.execute(f"REVOKE session_service FROM {database.cluster.api_role}")
    try:
        with pytest.raises(DependencyUnavailable) as refused:
            async with open_unit_of_work(units, users_of(session)) as work:
                await load(work, a_command(session))
    finally:
        await database.execute(f"GRANT session_service TO {database.cluster.api_role}")

    assert refused.value.cause.startswith(
        'permission denied to set role "session_service" (42501): run `migrate`'
    )
    await write(units, a_failure(session))
