# SPDX-License-Identifier: MIT
"""Databases of tests (`tests/reused.py`): a test finds its database as if it were new."""

import pytest

from tests.relay.queue import an_event
from tests.reused import CLONES, a_reused_database
from tests.running import Cluster, a_connection

TABLES = ("sessions", "events", "outbox", "parked_events", "prunings")
ROWS = "SELECT " + " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
NEXT_POSITION = "SELECT nextval('outbox_position_seq')"

CHANGES = {
    "a table": "CREATE TABLE lockers ()",
    "a column": "ALTER TABLE sessions ADD COLUMN locker text",
    "a column that is gone": "ALTER TABLE parked_events DROP COLUMN reason",
    "an index that is gone": "DROP INDEX sessions_one_in_progress_idx",
    "a policy that is gone": "ALTER TABLE sessions DISABLE ROW LEVEL SECURITY",
    "another policy": "ALTER POLICY users_read_their_own ON sessions RENAME TO lockers",
    "a privilege": "GRANT SELECT ON sessions TO PUBLIC",
    "a privilege on a column": "GRANT SELECT (id) ON sessions TO PUBLIC",
    "a privilege on the schema": "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "a privilege on the database": "GRANT CREATE ON DATABASE {name} TO PUBLIC",
    "a default privilege": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "a setting": "ALTER DATABASE {name} SET lock_timeout = 1",
    "a limit": "ALTER DATABASE {name} CONNECTION LIMIT 1",
    "a function": "ALTER FUNCTION service_acting_users RENAME TO lockers",
    "a publication": "CREATE PUBLICATION lockers FOR ALL TABLES",
    "statistics": "INSERT INTO prunings VALUES (now(), now()); ANALYZE prunings",
    "statistics of a vacuum": "VACUUM outbox",
    "another owner": "ALTER DATABASE {name} OWNER TO pg_monitor",
    "another revision": "UPDATE alembic_version SET version_num = '0001'",
    "another role": "SET ROLE pg_monitor",
    "an open transaction": "BEGIN",
    "many pages": "INSERT INTO outbox (user_id, event_id)"
    " SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 20000)",
}


async def test_a_later_test_gets_the_database_without_its_rows(
    cluster: Cluster, template: str
) -> None:
    async with a_reused_database(cluster, template=template) as database:
        await an_event(database, await database.a_session(), 2)
        await database.execute(
            "INSERT INTO parked_events SELECT position, user_id, event_id, NULL, 'knee', now()"
            " FROM outbox"
        )
        await database.execute("INSERT INTO prunings VALUES (now(), now())")

    assert database.name in CLONES[cluster.admin_url, template].waiting
    async with a_connection(database.url) as connection:
        assert await connection.fetchval(ROWS) == 0
        assert await connection.fetchval(NEXT_POSITION) == 1
        await connection.execute("SELECT setval('outbox_position_seq', 1, false)")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_no_later_test_gets_a_database_of_which_more_than_rows_changed(
    cluster: Cluster, template: str, change: str
) -> None:
    async with a_reused_database(cluster, template=template) as database:
        await database.execute(change.format(name=database.name))

    await require_dropped(cluster, template, database.name)


async def test_no_later_test_gets_a_database_that_has_other_connections(
    cluster: Cluster, template: str
) -> None:
    async with a_reused_database(cluster, template=template) as database:
        other = await database.connect()

    await require_dropped(cluster, template, database.name)
    other.terminate()


async def require_dropped(cluster: Cluster, template: str, name: str) -> None:
    assert name not in CLONES[cluster.admin_url, template].waiting
    async with a_connection(cluster.admin_url) as connection:
        assert not await connection.fetch("SELECT FROM pg_database WHERE datname = $1", name)
