"""On hash partitions by owner, what is done for a user keeps to one partition of each table."""

import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.application.ports import Asked
from service.persistence.engine import Database
from service.persistence.readiness import OK, Readiness
from tests.builders import a_command, a_session
from tests.conftest import StartApp
from tests.persistence.partitions import PARTITIONED, PARTITIONS
from tests.persistence.test_unit_of_work import users_of
from tests.running import Cluster, TestDatabase, a_database

# So many that to read all of a partition is dearer than to look into its index.
MANY_SESSIONS = """
    INSERT INTO sessions
    SELECT gen_random_uuid(), gen_random_uuid(), 'failed', now(), '{12,10}', 7, NULL, 2,
        now(), now()
    FROM generate_series(1, 20000)
"""
THEIR_EVENTS = """
    INSERT INTO events
    SELECT user_id, gen_random_uuid(), id, 2, 'session_failed', '{"reason": null}', now(), 'r',
        'retry-1', '\\x00', '{}'
    FROM sessions
"""
TELL_PLANS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}
pytestmark = pytest.mark.filterwarnings("ignore:.*active log listener")  # the pool warns of them
OFTEN = 7
"""After five plans for what is asked, PostgreSQL may keep one for whatever will be asked."""


@pytest.fixture
async def database(cluster: Cluster, partitioned_template: str) -> AsyncIterator[TestDatabase]:
    async with a_database(cluster, template=partitioned_template) as database:
        yield database


@pytest.fixture
async def full_database(database: TestDatabase) -> TestDatabase:
    for statement in (MANY_SESSIONS, THEIR_EVENTS, "ANALYZE"):
        await database.execute(statement)
    for name, value in TELL_PLANS.items():
        await database.execute(f"ALTER DATABASE {database.name} SET {name} = '{value}'")
    return database


@pytest.fixture
def plans(full_database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Of what is executed, statements inside of functions and triggers included."""
    executed: list[dict[str, Any]] = []

    def listen(_connection: Any, message: Any) -> None:
        executed.append(json.loads(message.message.partition("plan:\n")[2]))

    async def taken(connection: asyncpg.Connection) -> None:
        connection.add_log_listener(listen)  # the pool forgets it with each release

    monkeypatch.setattr(asyncpg, "create_pool", partial(asyncpg.create_pool, setup=taken))
    return executed


def touched(plan: dict[str, Any]) -> set[str]:
    """The partitions that were looked into: a plan may name others that were never executed."""
    return {node["Relation Name"] for node in _executed(plan["Plan"])} & PARTITION_NAMES


PARTITION_NAMES = {f"{table}_{number}" for table in PARTITIONED for number in range(PARTITIONS)}


def _executed(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in node and node["Actual Loops"]:
        yield node
    for child in node.get("Plans", []):
        yield from _executed(child)


async def partitions_of(database: TestDatabase, user_id: UUID) -> set[str]:
    name = await database.value(
        "SELECT DISTINCT tableoid::regclass::text FROM sessions WHERE user_id = $1", user_id
    )
    return {f"{table}_{name.removeprefix('sessions_')}" for table in PARTITIONED}


async def test_commands_and_reads_keep_to_the_partition_of_their_user(
    full_database: TestDatabase, plans: list[dict[str, Any]], start_app: StartApp
) -> None:
    user_id = uuid4()
    app = await start_app()
    for number in range(OFTEN):
        session = await full_database.a_session(user_id=user_id)
        key = {"Idempotency-Key": f"retry-{number}"}
        calls = [
            await app.get(session),
            await app.fail(session, reason="knee hurts", headers=key),
            await app.fail(session, reason="knee hurts", headers=key),
            await app.fail(session),
            await app.fail(a_session(user_id=user_id)),
        ]
        assert [call.status_code for call in calls] == [200, 200, 200, 409, 404]

    own = await partitions_of(full_database, user_id)
    assert set().union(*map(touched, plans)) == own
    rows = await full_database.fetch(
        "SELECT DISTINCT tableoid::regclass::text AS name FROM events WHERE user_id = $1", user_id
    )
    assert {row["name"] for row in rows} < own


async def test_a_lost_commit_is_looked_up_in_the_partition_of_its_user(
    full_database: TestDatabase, plans: list[dict[str, Any]], units: Database
) -> None:
    session = await full_database.a_session()
    for _ in range(OFTEN):
        async with units.unit_of_work(users_of(session)) as work:
            await work.look([Asked(command=a_command(session), lost_event=uuid7())])

    assert set().union(*map(touched, plans)) == await partitions_of(full_database, session.user_id)


async def test_is_ready(engine: AsyncEngine) -> None:
    assert set((await Readiness(engine).checks()).values()) == {OK}


async def test_keeps_one_session_in_progress_per_user(database: TestDatabase) -> None:
    session = await database.a_session()

    with pytest.raises(asyncpg.UniqueViolationError):
        await database.a_session(user_id=session.user_id)
