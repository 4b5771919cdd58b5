# SPDX-License-Identifier: MIT
"""What Supabase Realtime sends to its subscribers, by the policies of the tables.

Realtime is not here. Its function `realtime.apply_rls` asks PostgreSQL, for each subscriber, which
columns of a changed row its role may read, and whether the role and the claims of its token see the
row under its primary key. The tests ask the same.
"""

import asyncio
import json
import re
from uuid import UUID, uuid4

import pytest

from service.bootstrap.migrations import migrate
from service.domain.session import Session
from tests.documents.blocks import block
from tests.persistence.supabase import as_project_owner
from tests.relay.queue import an_event
from tests.running import TestDatabase

KEY = """
    SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = $1::regclass AND indisprimary
"""
READABLE = """
    SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0
        AND has_column_privilege($2, attrelid, attnum, 'SELECT')
"""


@pytest.fixture
async def project(supabase: TestDatabase) -> TestDatabase:
    """A migrated Supabase project that publishes the tables as the documentation says."""
    await asyncio.to_thread(migrate, as_project_owner(supabase))
    await supabase.execute("CREATE PUBLICATION supabase_realtime")
    await supabase.execute(block("docs/consumers.md", "ALTER PUBLICATION"))
    return supabase


@pytest.fixture
async def session(project: TestDatabase) -> Session:
    """Has an event."""
    user_id = uuid4()
    await project.execute("INSERT INTO auth.users VALUES ($1)", user_id)
    session = await project.a_session(user_id=user_id)
    await an_event(project, session, 2)
    return session


async def received(
    project: TestDatabase, table: str, *, role: str, user_id: UUID
) -> dict[str, object] | None:
    """What a subscriber gets of the only row of this table."""
    [row] = await project.fetch(f"SELECT * FROM {table}")
    readable = {each["attname"] for each in await project.fetch(READABLE, table, role)}
    key = [each["attname"] for each in await project.fetch(KEY, table)]
    if not readable.issuperset(key):
        return None
    where = " AND ".join(f"{name} = ${place}" for place, name in enumerate(key, start=1))
    async with project.connection.transaction():
        claims = json.dumps({"sub": str(user_id), "role": role})
        await project.execute("SELECT set_config('role', $1, true)", role)
        await project.execute("SELECT set_config('request.jwt.claims', $1, true)", claims)
        query = f"SELECT 1 FROM {table} WHERE {where}"
        is_visible = await project.value(query, *(row[name] for name in key))
    return {name: row[name] for name in row if name in readable} if is_visible else None


async def test_the_documented_statement_publishes_both_tables(project: TestDatabase) -> None:
    tables = await project.fetch("SELECT tablename FROM pg_publication_tables ORDER BY 1")

    assert [row["tablename"] for row in tables] == ["events", "sessions"]


@pytest.mark.parametrize("table", ["sessions", "events"])
async def test_a_subscriber_gets_changes_of_its_own_rows_alone(
    project: TestDatabase, session: Session, table: str
) -> None:
    own = await received(project, table, role="authenticated", user_id=session.user_id)
    other = await received(project, table, role="authenticated", user_id=uuid4())
    anonymous = await received(project, table, role="anon", user_id=session.user_id)

    assert own
    assert own["user_id"] == session.user_id
    assert (other, anonymous) == (None, None)


async def test_a_subscriber_gets_the_columns_that_the_documentation_uses(
    project: TestDatabase, session: Session
) -> None:
    event = await received(project, "events", role="authenticated", user_id=session.user_id)
    changed = await received(project, "sessions", role="authenticated", user_id=session.user_id)

    assert event
    assert changed
    shown = block("docs/consumers.md", "await supabase.realtime")
    used = re.findall(r"\b(event|session)\.(\w+)", shown)
    filters = re.findall(r"filter: `(\w+)=", shown)
    assert used
    assert filters
    assert {name for table, name in used if table == "event"} | {*filters} <= event.keys()
    assert {name for table, name in used if table == "session"} <= changed.keys()
    assert not event.keys() & {"request_id", "idempotency_key", "session_snapshot", "traceparent"}


async def test_a_client_reads_the_columns_that_the_documentation_names(
    project: TestDatabase, session: Session
) -> None:
    shown = block("docs/consumers.md", "await supabase\n")
    [(table, columns)] = re.findall(r"from\('(\w+)'\)\s*\.select\('([^']+)'", shown)
    async with project.connection.transaction():
        await project.execute("SET LOCAL ROLE authenticated")
        claims = json.dumps({"sub": str(session.user_id), "role": "authenticated"})
        await project.execute("SELECT set_config('request.jwt.claims', $1, true)", claims)
        query = f"SELECT {columns} FROM {table} WHERE session_id = $1 AND session_version > 1"
        [row] = await project.fetch(query + " ORDER BY session_version", session.id)

    assert row["session_version"] == 2
