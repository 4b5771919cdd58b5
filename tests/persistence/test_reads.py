"""Reads: one round trip, row-level security on whoever logged in, and a flat cost."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from service.application.errors import DependencyUnavailable, Overloaded, TimedOut
from service.application.ports import SessionFilter
from service.domain.session import SessionStatus
from service.persistence.engine import Database
from service.persistence.reader import SqlReads
from tests.builders import MORNING
from tests.group_commit.proxy import a_proxy
from tests.persistence.conftest import LIMITS
from tests.running import TestDatabase, a_pool

ANY = SessionFilter()
EVERY_READ = {
    "session": "service_session($1, $2)",
    "sessions": "service_sessions($1, '{planned,in_progress}', '-infinity', 'infinity', $2, 9)",
    "history": "service_history($1, $2, 0, 9)",
}
every_read = pytest.mark.parametrize("read", EVERY_READ.values(), ids=EVERY_READ)
A_READ_THAT_FORGETS_ITS_USER = """
    CREATE OR REPLACE FUNCTION service_session(acting_user uuid, wanted_id uuid)
        RETURNS SETOF sessions LANGUAGE plpgsql AS $f$ BEGIN
            PERFORM set_config('role', 'session_service', true),
                set_config('service.acting_users', acting_user::text, true);
            RETURN QUERY SELECT sessions.* FROM sessions;
        END $f$
"""
MANY = 25_000
PAGE = 20
_END = datetime(9999, 1, 1, tzinfo=UTC)
EXPLAIN_EVERYTHING = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_format": "json",
    "client_min_messages": "log",
}


@pytest.fixture
def reads(units: Database) -> SqlReads:
    return SqlReads(units)


async def test_finds_what_was_stored(reads: SqlReads, database: TestDatabase) -> None:
    session = await database.a_session(sets=(12, None), rpe=None)

    assert await reads.session(session.user_id, session.id) == session
    assert await reads.session(session.user_id, uuid7()) is None
    assert await reads.session(uuid4(), session.id) is None


async def test_keeps_to_one_connection_of_a_transaction_pooler(
    database: TestDatabase, pool: asyncpg.Pool, statements: list[str]
) -> None:
    """Which may give another one to whoever is between transactions."""
    session = await database.a_session()
    reads = SqlReads(Database(pool, LIMITS, transaction_pooler=True))

    assert await reads.session(session.user_id, session.id) == session
    assert statements[0].startswith("BEGIN; SELECT set_config('lock_timeout'")
    assert statements[-1] == "ROLLBACK"


async def test_no_session_and_no_history_are_told_apart(
    reads: SqlReads, database: TestDatabase
) -> None:
    session = await database.a_session()

    assert await reads.history(session.user_id, session.id, 0, 9) == []
    assert await reads.history(uuid4(), session.id, 0, 9) is None


async def test_policies_hold_in_a_read_that_forgets_its_user_for_any_login(
    database: TestDatabase,
) -> None:
    """The function's text is the migration's but for the filter; the login is a superuser."""
    mine, theirs = await database.a_session(), await database.a_session()
    await database.execute(A_READ_THAT_FORGETS_ITS_USER)

    for _ in range(10):  # also once its plan is kept
        rows = await database.fetch("SELECT * FROM service_session($1, $2)", mine.user_id, uuid4())
        assert [row["id"] for row in rows] == [mine.id]
        assert await database.value("SELECT count(*) FROM sessions") == 2
    rows = await database.fetch("SELECT * FROM service_session($1, $2)", theirs.user_id, uuid4())
    assert [row["id"] for row in rows] == [theirs.id]


@every_read
async def test_a_read_is_the_service_until_its_statement_ends(
    database: TestDatabase, read: str
) -> None:
    session = await database.a_session()
    who = "SELECT current_user, current_setting('service.acting_users', true)"
    before = await database.fetch(who)

    async with database.connection.transaction():
        await database.fetch(f"SELECT * FROM {read}", session.user_id, session.id)
        [within] = await database.fetch(who)
    await database.fetch(f"SELECT * FROM {read}", session.user_id, session.id)
    [after] = await database.fetch(who)

    assert tuple(within.values()) == ("session_service", str(session.user_id))
    assert (after["current_user"], after["current_setting"]) == (before[0]["current_user"], "")


@every_read
@pytest.mark.parametrize("role", ["authenticated", "a stranger"])
async def test_a_read_is_for_members_of_the_services_role(
    database: TestDatabase, read: str, role: str
) -> None:
    session = await database.a_session()
    name = f"stranger_{database.name}" if role == "a stranger" else role
    if name != role:
        await database.execute(f"CREATE ROLE {name}")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="for function"):
            async with database.connection.transaction():
                await database.execute(f"SET LOCAL ROLE {name}")
                await database.fetch(f"SELECT * FROM {read}", session.user_id, session.id)
    finally:
        if name != role:
            await database.execute(f"DROP ROLE {name}")


async def test_a_function_that_anybody_may_call_lets_no_stranger_become_the_service(
    database: TestDatabase,
) -> None:
    """Were EXECUTE ever granted by mistake."""
    session = await database.a_session()
    stranger = f"stranger_{database.name}"
    await database.execute("GRANT EXECUTE ON FUNCTION service_session(uuid, uuid) TO PUBLIC")
    await database.execute(f"CREATE ROLE {stranger} LOGIN PASSWORD 'training'")
    url = database.api_url.replace(database.cluster.api_role, stranger)
    connection = await asyncpg.connect(url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="set role"):
            await connection.fetch(
                "SELECT * FROM service_session($1, $2)", session.user_id, session.id
            )
    finally:
        await connection.close()
        await database.execute(f"DROP ROLE {stranger}")


async def test_a_read_that_takes_too_long_is_given_up_by_the_server(
    database: TestDatabase,
) -> None:
    """A lock that only the test can release is as good as a statement that never ends."""
    limits = replace(LIMITS, lock_timeout=0.4, statement_timeout=0.2)

    async with a_pool(database.api_url, 1, limits=limits) as pool:
        reads = SqlReads(Database(pool, limits))
        async with database.connection.transaction():
            await database.execute("LOCK TABLE sessions")
            with pytest.raises(TimedOut):
                await reads.session(uuid4(), uuid4())
            assert await _nobody_waits(database)
        assert await reads.session(uuid4(), uuid4()) is None


async def _nobody_waits(database: TestDatabase) -> bool:
    return not await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted")


async def test_a_read_waits_its_turn_for_a_connection(pool: asyncpg.Pool) -> None:
    units = Database(pool, replace(LIMITS, pool_size=1, pool_timeout=0.01))

    async with units.unit_of_work(frozenset({uuid4()})):
        with pytest.raises(Overloaded):
            await SqlReads(units).session(uuid4(), uuid4())


async def test_is_unavailable_when_nobody_listens() -> None:
    async with a_pool("postgresql://nobody@127.0.0.1:1/nothing", 1) as pool:
        with pytest.raises(DependencyUnavailable):
            await SqlReads(Database(pool, LIMITS)).session(uuid4(), uuid4())


async def test_each_read_is_one_round_trip(database: TestDatabase) -> None:
    session = await database.a_session()
    user_id = session.user_id
    async with a_proxy(database.api_url) as proxy, a_pool(proxy.url, 1) as pool:
        reads = SqlReads(Database(pool, LIMITS))
        every: list[Callable[[], Awaitable[Any]]] = [
            lambda: reads.session(user_id, session.id),
            lambda: reads.sessions(user_id, ANY, None, PAGE),
            lambda: reads.history(user_id, session.id, 0, PAGE),
        ]
        trips = []
        for read in every:
            await read()  # which connects, and prepares the statement
            before = proxy.sent
            await read()
            trips.append(proxy.sent - before)

    assert trips == [1, 1, 1]


async def test_page_1000_costs_what_page_1_does(database: TestDatabase) -> None:
    """Of a user with 25,000 sessions among as many of others."""
    user_id = uuid4()
    await _insert_many(database, user_id)
    positions = await database.fetch(
        "SELECT session_date, id FROM sessions WHERE user_id = $1 ORDER BY 1 DESC, 2 DESC", user_id
    )
    last = positions[999 * PAGE - 1]

    async with _plans_of(database) as plans:
        for below in [(_END, UUID(int=0)), (last["session_date"], last["id"])] * 10:
            rows = await database.fetch(
                "SELECT * FROM service_sessions($1, $2, '-infinity', $3, $4, $5)",
                user_id,
                list(SessionStatus),
                *below,
                PAGE + 1,
            )
            assert len(rows) == PAGE + 1
        await asyncio.sleep(0)

    assert len(plans) == 20
    for plan in plans:
        assert {node["Node Type"] for node in _nodes(plan)} <= {"Limit", "Index Scan", "Result"}
        assert {node["Index Name"] for node in _nodes(plan) if "Index Name" in node} == {
            "sessions_newest_first_idx"
        }
    blocks = [plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans]
    assert max(blocks[2:]) <= PAGE  # the first ones read catalogues as well


async def _insert_many(database: TestDatabase, user_id: UUID) -> None:
    for owner in ("$1::uuid", "gen_random_uuid()"):
        await database.execute(
            f"""
            INSERT INTO sessions
            SELECT {owner}, gen_random_uuid(), 'planned', $2::timestamptz - n * $3::interval,
                '{{12,10}}', NULL, NULL, 1, now(), now()
            FROM generate_series(1, {MANY}) AS n WHERE $1::uuid IS NOT NULL
            """,
            user_id,
            MORNING,
            timedelta(hours=1),
        )
    await database.execute("ANALYZE sessions")


@asynccontextmanager
async def _plans_of(database: TestDatabase) -> AsyncIterator[list[dict[str, Any]]]:
    """The plans of listings, with what they really read."""
    plans: list[dict[str, Any]] = []

    def keep(_connection: object, message: asyncpg.PostgresLogMessage) -> None:
        plan = json.loads(str(message.message).partition("plan:")[2])
        if "LIMIT most" in plan["Query Text"]:
            plans.append(plan["Plan"])

    await database.execute("LOAD 'auto_explain'")
    for name, value in EXPLAIN_EVERYTHING.items():
        await database.execute(f"SET {name} = {value}")
    database.connection.add_log_listener(keep)
    yield plans
    database.connection.remove_log_listener(keep)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
