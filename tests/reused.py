# SPDX-License-Identifier: MIT
"""Databases that tests use one after another, because a new one costs more than most tests.

After a test, the rows of its database are deleted. A later test gets the database if it is then as
new: if no other connection is left, and the catalogs are those of a clone. The database is dropped
if the test changed the schema, an owner, a privilege, a setting or statistics, or left many pages.
"""

from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import asyncpg

from tests.running import Cluster, TestDatabase, connect_to, eventually, new_database

RESTING = 2
"""How many databases wait before the first of them is used again. By then, the processes that
served its last test have ended."""

PAGES_MAX = 100
FIRST_OF_USERS = 16384
"""The first object id that is not PostgreSQL's own."""

WRITTEN_BY_DDL = (
    "attribute class constraint default_acl depend event_trigger extension index namespace policy"
    " proc publication rewrite trigger type"
)
CATALOGS = ", ".join(
    f"(SELECT count(*) || ' ' || max(xmin::text::bigint) FROM pg_catalog.pg_{name})"
    for name in WRITTEN_BY_DDL.split()
)
STATE = f"""
    SELECT concat_ws(', ', {CATALOGS}, current_user,
        (SELECT string_agg(version_num, ' ') FROM public.alembic_version),
        (SELECT count(*) FROM pg_statistic WHERE starelid >= {FIRST_OF_USERS}),
        (SELECT concat(sum(relpages), ' ', sum(reltuples::bigint))
            FROM pg_class WHERE oid >= {FIRST_OF_USERS}),
        (SELECT sum(pg_relation_size(oid)) / current_setting('block_size')::int > {PAGES_MAX}
            FROM pg_class WHERE oid >= {FIRST_OF_USERS} AND relkind IN ('r', 'i', 't')),
        (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = pg_database.oid),
        datdba, datacl, datallowconn, datconnlimit)
    FROM pg_database WHERE datname = current_database()
"""
DELETIONS = """
    SELECT string_agg(CASE relkind
        WHEN 'S' THEN format('SELECT setval(%L, 1, false)', oid::regclass)
        ELSE format('DELETE FROM %s', oid::regclass) END, '; ' ORDER BY oid DESC)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S')
        AND NOT relispartition AND relname <> 'alembic_version'
"""
OTHERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
TRIES = 20


@dataclass
class Clones:
    """Clones of one template: those that wait for a test, and what all of them have."""

    waiting: deque[str] = field(default_factory=deque)
    state: str = ""
    deletions: str = ""


CLONES: defaultdict[tuple[str, str], Clones] = defaultdict(Clones)


@asynccontextmanager
async def a_reused_database(cluster: Cluster, *, template: str) -> AsyncIterator[TestDatabase]:
    """A clone of the template, new or as new."""
    clones = CLONES[cluster.admin_url, template]
    is_new = len(clones.waiting) < RESTING
    name = await new_database(cluster, template) if is_new else clones.waiting.popleft()
    database = TestDatabase(cluster, name, await connect_to(cluster.url(name)))
    is_as_new = False
    try:
        if not clones.state:
            clones.state = await database.value(STATE)
            clones.deletions = await database.value(DELETIONS)
        yield database
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, AssertionError):
            is_as_new = await _make_as_new(database, clones)
    finally:
        await database.connection.close()
        if is_as_new:
            clones.waiting.append(name)
        else:
            await cluster.drop_database(name)


async def _make_as_new(database: TestDatabase, clones: Clones) -> bool:
    """Deletes all rows. False if more than rows has changed."""
    if database.connection.is_in_transaction():
        return False

    async def is_alone() -> bool:
        return int(await database.value(OTHERS)) == 0

    await eventually(is_alone, tries=TRIES)
    if await database.value(STATE) != clones.state:
        return False
    await database.execute(clones.deletions)
    return True


async def drop_reused_databases(cluster: Cluster) -> None:
    for (admin_url, _), clones in CLONES.items():
        while admin_url == cluster.admin_url and clones.waiting:
            await cluster.drop_database(clones.waiting.popleft())
