# SPDX-License-Identifier: MIT
"""Connections: taken in order, cut when the host is gone, and returned without a trace."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    Overloaded,
)
from service.application.ports import LoadRequest
from service.domain.session import Session
from service.persistence.checks import OK
from service.persistence.database import RESERVED_CONNECTIONS, Database
from service.persistence.driver import leave_server
from service.persistence.reader import SqlSessionReader
from service.persistence.readiness import Readiness
from tests.builders import a_command
from tests.group_commit.proxy import Cut, Proxy, a_proxy
from tests.persistence.conftest import LIMITS
from tests.persistence.stepping import open_reader, open_unit_of_work
from tests.persistence.transacting import KILL_CONNECTIONS, a_failure, load, users_of, write
from tests.running import TestDatabase, an_engine, eventually

WAITING = "FROM pg_locks WHERE NOT granted"
ONE_CONNECTION = replace(LIMITS, pool_size=1 + RESERVED_CONNECTIONS, pool_timeout=0.01)


async def test_requires_acting_users(units: Database) -> None:
    with pytest.raises(ValueError, match="at least one user"):
        async with open_unit_of_work(units, frozenset()):
            pass


async def commit(units: Database, session: Session) -> None:
    await write(units, a_failure(session))


async def roll_back(units: Database, session: Session) -> None:
    request = LoadRequest(command=a_command(session))
    await units.run_unit_of_work(users_of(session), lambda work: work.load([request]))


async def execute_nothing(units: Database, session: Session) -> None:
    await units.run_unit_of_work(users_of(session), lambda _work: None)


async def be_refused(units: Database, session: Session) -> None:
    with pytest.raises(Contended):
        await write(units, a_failure(replace(session, version=0)))


@pytest.mark.parametrize("use", [commit, roll_back, execute_nothing, be_refused])
async def test_leaves_neither_a_transaction_nor_a_setting_on_the_connection(
    engine: AsyncEngine, database: TestDatabase, use: Callable[[Database, Session], Awaitable[None]]
) -> None:
    session = await database.a_session()
    settings = """
        SELECT pg_backend_pid(), current_user, current_setting('service.acting_users', true),
            current_setting('statement_timeout'), current_setting('enable_seqscan')
    """
    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))

    await use(Database(engine, LIMITS), session)

    state = "SELECT state FROM pg_stat_activity WHERE pid = $1"
    assert await database.value(state, pid) == "idle"
    async with engine.connect() as connection:
        [row] = await connection.execute(text(settings))
    before = (pid, database.cluster.api_role, None, "0", "on")
    assert (*row[:2], row[2] or None, *row[3:]) == before


async def test_every_transaction_has_the_limits_that_it_was_given(engine: AsyncEngine) -> None:
    limits = replace(
        LIMITS, lock_timeout=1.25, statement_timeout=2.25, idle_in_transaction_timeout=3.25
    )
    units = Database(engine, limits)
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")

    def show(reader: SqlSessionReader) -> list[Any]:
        connection = reader._connection  # noqa: SLF001  no public statement shows them
        return [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]

    shown = await units.run_read(frozenset({uuid4()}), show)

    assert shown == ["1250ms", "2250ms", "3250ms"]


async def test_a_cancelled_transaction_ends_on_the_server(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    session = await database.a_session()
    units = Database(engine, replace(LIMITS, lock_timeout=4))

    async with database.connection.transaction():
        await database.execute("LOCK TABLE sessions")
        waiting = asyncio.create_task(roll_back(units, session))
        await eventually(lambda: database.value(f"SELECT count(*) {WAITING}"))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: database.value(f"SELECT count(*) = 0 {WAITING}"))

    await commit(units, session)
    assert is_unused(engine)


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_throws_a_connection_away_if_its_rollback_gets_no_answer(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    seconds = 60 if is_cancelled else 0.1
    monkeypatch.setattr("service.persistence.transactions.GIVE_UP_SECONDS", seconds)
    session = await database.a_session()
    async with (
        a_proxy(database.api_url) as proxy,
        an_engine(proxy.url, LIMITS.pool_size) as engine,
    ):
        units = Database(engine, LIMITS)
        await roll_back(units, session)  # which opens the connection
        proxy.moment, proxy.cuts = b"ROLLBACK", [Cut.VANISHED_BEFORE]

        rolling_back = asyncio.create_task(roll_back(units, session))
        if is_cancelled:
            await eventually(lambda: has_made_cut(proxy))
            rolling_back.cancel()
        with pytest.raises(asyncio.CancelledError) if is_cancelled else nullcontext():
            await rolling_back

        assert proxy.made == [Cut.VANISHED_BEFORE]
        assert is_unused(engine)
        await commit(units, session)


async def has_made_cut(proxy: Proxy) -> bool:
    return bool(proxy.made)


async def test_connections_from_before_a_restart_of_the_server_fail_one_transaction(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()
    async with open_unit_of_work(units, users_of(session)) as work:
        await load(work, a_command(session))
        await roll_back(units, session)
    await database.execute(KILL_CONNECTIONS)

    with pytest.raises(ConnectionLost):
        await roll_back(units, session)
    await commit(units, session)


def is_unused(engine: AsyncEngine) -> bool:
    return "Current Checked out connections: 0" in engine.pool.status()


async def test_a_connection_in_use_refuses_statements_before_its_transaction(
    engine: AsyncEngine,
) -> None:
    """They would run with the rights of the login."""
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        driver.after_begin = "SELECT 1"
        for statement in (driver.execute("SELECT 2"), driver.prepare("SELECT 2")):
            with pytest.raises(asyncpg.InterfaceError, match="has not begun"):
                await statement
        driver.after_begin = None


async def test_raises_overloaded_if_no_connection_becomes_free_in_time(engine: AsyncEngine) -> None:
    units = Database(engine, ONE_CONNECTION)

    async with open_unit_of_work(units, frozenset({uuid4()})):
        with pytest.raises(Overloaded):
            async with open_reader(units, frozenset({uuid4()})):
                pass


async def test_transactions_get_connections_in_order_of_arrival(
    engine: AsyncEngine,
) -> None:
    units = Database(engine, replace(ONE_CONNECTION, pool_timeout=5))
    served: list[int] = []

    async def take(number: int) -> None:
        await units.run_read(frozenset({uuid4()}), lambda _reader: served.append(number))

    async with open_reader(units, frozenset({uuid4()})):
        waiting = [asyncio.create_task(take(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert units.waiting == 5
    await take(5)  # it asks when a connection is free, and after all others
    await asyncio.gather(*waiting)

    assert served == [0, 1, 2, 3, 4, 5]
    assert units.waiting == 0


async def test_readiness_has_a_connection_while_all_others_are_in_use(
    database: TestDatabase,
) -> None:
    async with (
        an_engine(database.api_url, ONE_CONNECTION.pool_size) as engine,
        open_unit_of_work(Database(engine, ONE_CONNECTION), frozenset({uuid4()})) as work,
    ):
        await load(work, a_command())
        assert set((await Readiness(engine).checks()).values()) == {OK}


async def test_cuts_a_connection_whose_server_does_not_answer_the_commit(
    database: TestDatabase,
) -> None:
    """COMMIT waits for a lock that only the test releases, without the limits of the server.

    A cut is no cancellation, after which the server would roll back: it goes on, and commits.
    """
    session = await database.a_session()
    await database.execute("""
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            SET LOCAL statement_timeout = 0;
            SET LOCAL lock_timeout = 0;
            PERFORM pg_advisory_xact_lock(1); RETURN NULL;
        END $$
    """)
    await database.execute("""
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON events
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()
    """)
    limits = replace(
        LIMITS, lock_timeout=0.1, statement_timeout=1.5, idle_in_transaction_timeout=1.6
    )

    async with database.connection.transaction():
        await database.execute("SELECT pg_advisory_xact_lock(1)")
        async with an_engine(database.api_url, LIMITS.pool_size) as engine:
            with pytest.raises(CommitUnknown):
                await write(Database(engine, limits), a_failure(session))
        assert (await database.row(session))["status"] == "in_progress"

    async def has_failed() -> bool:
        return bool((await database.row(session))["status"] == "failed")

    await eventually(has_failed)


@pytest.mark.parametrize(
    ("moment", "failure"),
    [
        (b"user\0", DependencyUnavailable),  # the login itself
        (b"pg_catalog.version", DependencyUnavailable),
        (b"acting_users", ConnectionLost),
        (b"requested", ConnectionLost),
    ],
)
async def test_does_not_wait_for_a_server_that_stops_answering(
    database: TestDatabase, moment: bytes, failure: type[Exception]
) -> None:
    limits = replace(LIMITS, statement_timeout=0.2, idle_in_transaction_timeout=0.3)
    connect_timeout = 0.5 if failure is DependencyUnavailable else 60
    async with (
        a_proxy(database.api_url) as proxy,
        an_engine(proxy.url, LIMITS.pool_size, connect_timeout=connect_timeout) as engine,
    ):
        units = Database(engine, limits)
        proxy.moment, proxy.cuts = moment, [Cut.VANISHED_BEFORE]
        while not proxy.made:  # a time limit may pass before the moment
            with pytest.raises(failure):
                async with open_unit_of_work(units, frozenset({uuid4()})) as work:
                    await load(work, a_command())


@pytest.mark.parametrize("path", ["127.0.0.1:1/nothing", "no_such_database"])
async def test_raises_dependency_unavailable_if_it_cannot_log_in(
    database: TestDatabase, path: str
) -> None:
    url = database.cluster.url(path) if "/" not in path else f"postgresql://nobody@{path}"
    async with an_engine(url, LIMITS.pool_size) as engine:
        with pytest.raises(DependencyUnavailable):
            async with open_unit_of_work(Database(engine, LIMITS), frozenset({uuid4()})):
                pass


@pytest.mark.parametrize(("transaction_pooler", "kept"), [(True, 0), (False, 1)])
async def test_prepares_no_statement_behind_a_transaction_pooler(
    database: TestDatabase, transaction_pooler: bool, kept: int
) -> None:
    session = await database.a_session()
    async with an_engine(
        database.api_url, 1 + RESERVED_CONNECTIONS, transaction_pooler=transaction_pooler
    ) as engine:
        units = Database(engine, LIMITS)
        for _ in range(2):
            async with open_unit_of_work(units, users_of(session)) as work:
                await load(work, a_command(session))
        async with engine.connect() as connection:
            prepared = text("SELECT count(*) FROM pg_prepared_statements WHERE statement ~ :what")
            given = {"what": "SKIP LOCKED"}
            assert await connection.scalar(prepared, given) == kept
            assert await connection.scalar(text("SHOW statement_timeout")) == "0"


async def test_plans_a_statement_once_for_all_parameters(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    session = await database.a_session()
    for _ in range(2):
        await roll_back(Database(engine, LIMITS), session)

    plans = "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement ~ :what"
    async with engine.connect() as connection:
        [row] = await connection.execute(text(plans), {"what": "SKIP LOCKED"})
    assert tuple(row) == (0, 2)


@pytest.mark.parametrize(("pause", "leaves_again"), [(0.0, True), (60.0, False)])
async def test_leaves_a_server_at_most_once_in_a_while(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch, pause: float, leaves_again: bool
) -> None:
    """It may be the only one, and reads can still be served."""
    monkeypatch.setattr("service.persistence.driver.GENERATION_SECONDS", pause)
    pids = []
    async with an_engine(database.api_url, 1) as engine:
        for _ in range(3):
            async with engine.connect() as connection:
                pids.append(await connection.scalar(text("SELECT pg_backend_pid()")))
                leave_server(connection)

    first, second, third = pids
    assert first != second
    assert (second != third) is leaves_again


async def test_gives_prepared_statements_names_that_no_other_client_has(
    database: TestDatabase,
) -> None:
    """Behind a pooler, a client with the same name would execute the other's statement."""
    names = "SELECT name FROM pg_prepared_statements"
    found = []
    for _ in range(2):
        async with an_engine(database.api_url) as engine, engine.connect() as connection:
            found.append({*await connection.scalars(text(names))})

    first, second = found
    assert first
    assert first.isdisjoint(second)
