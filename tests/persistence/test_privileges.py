# SPDX-License-Identifier: MIT
"""What each role may do, by the catalogue; for every column, whether clients read it."""

import asyncio
import re
from contextlib import nullcontext
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from service.bootstrap.migrations import migrate
from service.persistence.history import EVENT_COLUMNS
from service.persistence.reader import HISTORY_COLUMNS
from service.persistence.roles import ERASER_ROLE, RELAY_ROLE, ROLES, SERVICE_ROLE
from service.persistence.sessions import COLUMNS
from tests.documents.blocks import block
from tests.persistence.partitions import partitioning
from tests.persistence.supabase import API_ROLES, as_project_owner
from tests.running import TestDatabase

SECURITY_PAGE = Path(__file__).parents[2] / "docs" / "security.md"

VISIBLE = {
    "sessions": "user_id id status session_date started_at ended_at sets rpe notes version"
    " created_at updated_at",
    "events": "user_id id session_id session_version event_type event_data occurred_at",
}
HIDDEN = {
    "events": "request_id idempotency_key command_fingerprint session_snapshot traceparent",
    "outbox": "position user_id event_id",
    "parked_events": "position user_id event_id session_id reason parked_at",
    "prunings": "events_before begun_at",
    "alembic_version": "version_num",
}

RELATIONS = """
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
        AND relkind IN ('r', 'p', 'v', 'm', 'f')
"""
TABLE_PRIVILEGES = f"""
    SELECT relname, privilege FROM (SELECT oid, relname {RELATIONS}) AS relations, unnest(ARRAY[
        'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
    WHERE has_table_privilege($1, oid, privilege)
"""
COLUMN_PRIVILEGES = f"""
    SELECT relname, privilege, attname
    FROM (SELECT oid, relname {RELATIONS}) AS relations JOIN pg_attribute ON attrelid = oid,
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS privilege
    WHERE attnum > 0 AND NOT attisdropped AND has_column_privilege($1, oid, attnum, privilege)
    ORDER BY attnum
"""


@pytest.fixture(params=["whole", "partitioned"])
async def project(request: pytest.FixtureRequest, supabase: TestDatabase) -> TestDatabase:
    """A migrated Supabase project, whose default privileges grant everything on new tables."""
    with partitioning() if request.param == "partitioned" else nullcontext():
        await asyncio.to_thread(migrate, as_project_owner(supabase))
    return supabase


def pairs(columns: dict[str, str]) -> set[tuple[str, str]]:
    return {(table, column) for table, names in columns.items() for column in names.split()}


async def column_privileges(database: TestDatabase, role: str) -> dict[tuple[str, str], list[str]]:
    """The columns by table and privilege, in their order."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in await database.fetch(COLUMN_PRIVILEGES, role):
        found.setdefault((row["relname"], row["privilege"]), []).append(row["attname"])
    return found


async def described(database: TestDatabase, role: str) -> dict[tuple[str, str], str]:
    """The privileges of a role by table, in the words of the security page."""
    whole = {tuple(row.values()) for row in await database.fetch(TABLE_PRIVILEGES, role)}
    words = {each: each[1] for each in whole}
    for (table, privilege), columns in (await column_privileges(database, role)).items():
        words.setdefault((table, privilege), f"{privilege} ({', '.join(columns)})")
    order = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    return {
        (role, table): ", ".join(
            words[table, privilege] for privilege in order if (table, privilege) in words
        )
        for table, _ in words
    }


async def test_it_is_decided_for_every_column_whether_clients_read_it(
    project: TestDatabase,
) -> None:
    owned = await column_privileges(project, await project.value("SELECT user"))
    present = {(table, column) for (table, _), columns in owned.items() for column in columns}

    assert present == pairs(VISIBLE) | pairs(HIDDEN)
    assert not pairs(VISIBLE) & pairs(HIDDEN)


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
async def test_clients_read_visible_columns_and_do_nothing_else(
    project: TestDatabase, role: str
) -> None:
    assert await column_privileges(project, role) == {
        (table, "SELECT"): names.split() for table, names in VISIBLE.items()
    }
    assert await project.fetch(TABLE_PRIVILEGES, role) == []


@pytest.mark.parametrize("role", ["anon", "public"])
async def test_others_have_no_privilege(project: TestDatabase, role: str) -> None:
    assert await column_privileges(project, role) == {}
    assert await project.fetch(TABLE_PRIVILEGES, role) == []


def test_visible_columns_are_those_that_the_api_shows() -> None:
    assert set(VISIBLE["sessions"].split()) == {"user_id", *(column.name for column in COLUMNS)}
    assert set(VISIBLE["events"].split()) == {
        "user_id",
        "session_id",
        *(column.name for column in HISTORY_COLUMNS),
    }


async def test_the_relay_reads_the_columns_that_it_publishes(project: TestDatabase) -> None:
    granted = await column_privileges(project, RELAY_ROLE)

    assert set(granted["events", "SELECT"]) == {column.name for column in EVENT_COLUMNS}


async def test_the_security_page_lists_the_privileges_of_every_role(project: TestDatabase) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", SECURITY_PAGE.read_text(), re.MULTILINE
    )
    granted: dict[tuple[str, str], str] = {}
    for role in (*ROLES, *API_ROLES):
        granted |= await described(project, role)

    assert {(role, table): words for role, table, words in rows} == granted


@pytest.mark.parametrize("role", [*API_ROLES, *ROLES, "public"])
async def test_nobody_has_a_privilege_on_sequences_or_partitions(
    project: TestDatabase, role: str
) -> None:
    sequences = """
        SELECT seqrelid::regclass FROM pg_sequence
        WHERE has_sequence_privilege($1, seqrelid, 'USAGE, SELECT, UPDATE')
    """
    partitions = """
        SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'
            AND (NOT relrowsecurity OR has_any_column_privilege($1, oid, 'SELECT, INSERT, UPDATE')
                OR has_table_privilege($1, oid, 'DELETE, TRUNCATE, REFERENCES, TRIGGER'))
    """
    assert await project.fetch(sequences, role) == []
    assert await project.fetch(partitions, role) == []


async def test_only_the_service_calls_the_function_of_its_policies(project: TestDatabase) -> None:
    functions = """
        SELECT oid::regprocedure::text AS function FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND has_function_privilege($1, oid, 'EXECUTE')
    """
    for role in (*API_ROLES, RELAY_ROLE, ERASER_ROLE, "public"):
        assert await project.fetch(functions, role) == []
    assert await project.fetch(functions, SERVICE_ROLE) == [{"function": "service_acting_users()"}]


async def test_only_clients_call_auth_uid_of_a_plain_database(database: TestDatabase) -> None:
    may_call = "SELECT has_function_privilege($1, 'auth.uid()', 'EXECUTE')"

    assert await database.value(may_call, "authenticated")
    assert not await database.value(may_call, "public")


@pytest.fixture
async def user(project: TestDatabase) -> str:
    """Has a session with an event; so has another user."""
    for user_id in (uuid4(), uuid4()):
        await project.execute("INSERT INTO auth.users VALUES ($1)", user_id)
        session = await project.a_session(user_id=user_id)
        await project.execute(
            "INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,"
            " occurred_at, request_id, traceparent)"
            " VALUES ($1, gen_random_uuid(), $2, 2, 'session_started', '{}', now(), 'phone', 'x')",
            user_id,
            session.id,
        )
    return str(user_id)


async def as_client(project: TestDatabase, user: str, query: str) -> list[asyncpg.Record]:
    """As PostgREST executes a request with the token of this user."""
    async with project.connection.transaction():
        await project.execute("SET LOCAL ROLE authenticated")
        claims = f'{{"sub": "{user}", "role": "authenticated"}}'
        await project.execute("SELECT set_config('request.jwt.claims', $1, true)", claims)
        return list(await project.connection.fetch(query))


async def test_a_client_reads_the_columns_that_the_security_page_names(
    project: TestDatabase, user: str
) -> None:
    shown = block("docs/security.md", "await supabase")
    lists = re.findall(r"from\('(\w+)'\)\s*\.select\(\s*'([^']+)'", shown)

    assert {table for table, _ in lists} == {"sessions", "events"}
    for table, columns in lists:
        [row] = await as_client(project, user, f"SELECT {columns} FROM {table}")
        assert set(row.keys()) == set(VISIBLE[table].split()) - {"user_id"}


@pytest.mark.parametrize("table", VISIBLE)
async def test_a_client_reads_and_counts_its_own_rows(
    project: TestDatabase, user: str, table: str
) -> None:
    rows = await as_client(project, user, f"SELECT user_id FROM {table}")

    assert [str(row["user_id"]) for row in rows] == [user]
    assert (await as_client(project, user, f"SELECT count(*) FROM {table}"))[0]["count"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM events",
        "SELECT to_jsonb(events) FROM events",
        *(f"SELECT {column} FROM events" for column in HIDDEN["events"].split()),
        "SELECT id FROM events WHERE idempotency_key = 'x'",
        "SELECT id FROM events ORDER BY request_id",
        "SELECT position FROM outbox",
        "SELECT reason FROM parked_events",
        "SELECT events_before FROM prunings",
        "SELECT version_num FROM alembic_version",
        "SELECT service_acting_users()",
        "SELECT last_value FROM outbox_position_seq",
    ],
)
async def test_a_client_reads_nothing_else(project: TestDatabase, user: str, query: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_client(project, user, query)
