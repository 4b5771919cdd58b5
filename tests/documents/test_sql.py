# SPDX-License-Identifier: MIT
"""Every statement of a page is run on a migrated database, and rolled back."""

import ast
import re
from collections.abc import Iterator
from contextlib import ExitStack

import asyncpg
import pytest

from service.persistence.checks import _OLDEST_COMPATIBLE
from tests.documents.blocks import block, blocks, read
from tests.documents.console import PLACEHOLDER, commands
from tests.persistence.partitions import partitioning
from tests.running import Cluster, TestDatabase, a_database, a_template

[TABLES] = re.findall(
    r'^TABLES = """(.+?)"""', read("docs/examples/inbox.py"), re.DOTALL | re.MULTILINE
)
SUPABASE = "".join(
    f"DO $$ BEGIN CREATE ROLE {name}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
    for name in ("anon", "authenticated", "service_role")
)
BEFORE = {
    "CREATE TABLE sessions_0 PARTITION": "DROP TABLE sessions_0, events_0 CASCADE",
    "ALTER TABLE sessions_0": SUPABASE,
    "SELECT session_id, session_version, kind": TABLES,
    "ALTER PUBLICATION supabase_realtime": "CREATE PUBLICATION supabase_realtime",
}
"""What is there before a block that begins so."""

USER = "0f01e02b-5d6e-4d54-8b9d-4b9810d3356a"


def of_commands() -> Iterator[tuple[str, str]]:
    for command in commands():
        if "psql" in command.words:
            for option, statement in zip(command.words, command.words[1:], strict=False):
                if option == "-c":
                    yield command.place, statement


STATEMENTS = [*((str(each), each.text) for each in blocks("sql")), *of_commands()]
PARTITIONED = {place: text for place, text in STATEMENTS if "sessions_0" in text}
WHOLE = {
    f"{place} {number}": text
    for number, (place, text) in enumerate(STATEMENTS)
    if place not in PARTITIONED
}


@pytest.fixture(scope="module")
def partitioned(cluster: Cluster, template: str) -> Iterator[str]:
    """The name of a migrated database with hash partitions."""
    with ExitStack() as stack:
        with partitioning():
            name = stack.enter_context(a_template(cluster))
        yield name


@pytest.mark.parametrize("statements", WHOLE.values(), ids=WHOLE)
async def test_a_statement_of_a_page_is_executed(database: TestDatabase, statements: str) -> None:
    await _run_and_roll_back(database.connection, PLACEHOLDER.sub(USER, statements))


@pytest.mark.parametrize("statements", PARTITIONED.values(), ids=PARTITIONED)
async def test_a_statement_on_partitions_is_executed(
    cluster: Cluster, partitioned: str, statements: str
) -> None:
    async with a_database(cluster, template=partitioned) as database:
        await _run_and_roll_back(database.connection, statements)


async def _run_and_roll_back(connection: asyncpg.Connection, text: str) -> None:
    transaction = connection.transaction()
    await transaction.start()
    for beginning, preparation in BEFORE.items():
        if text.startswith(beginning):
            await connection.execute(preparation)
    await connection.execute(text)
    await transaction.rollback()


async def test_a_migration_that_contracts_says_what_it_is_compatible_with(
    database: TestDatabase,
) -> None:
    await database.execute("ALTER TABLE sessions ADD COLUMN mood text")

    for line in block("docs/migrations.md", '("ALTER TABLE').splitlines():
        [statement] = ast.literal_eval(line)
        await database.execute(statement)

    query = "SELECT obj_description('alembic_version'::regclass, 'pg_class')"
    assert _OLDEST_COMPATIBLE.fullmatch(await database.value(query))


async def test_sql_that_runs_as_the_login_of_the_api_can_name_any_user(
    database: TestDatabase,
) -> None:
    [text] = [each.text for each in blocks("sql") if each.page == "docs/security.md"]
    session = await database.a_session()
    login = await asyncpg.connect(database.api_url)
    *settings, query = text.replace("<any user>", str(session.user_id)).strip().split("\n")

    for each in settings:
        await login.execute(each)
    rows = await login.fetch(query)
    await login.close()

    assert [row["id"] for row in rows] == [session.id]
