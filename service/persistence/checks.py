# SPDX-License-Identifier: MIT
"""The checks of the database: can it be written, and are roles, policies and schema right?"""

import re
from itertools import product
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.persistence.driver import leave_server
from service.persistence.errors import DATABASE, is_forbidden, is_wrong_installation
from service.persistence.roles import (
    ERASER_ROLE,
    RELAY_ROLE,
    ROLE_PREFIX,
    ROLES,
    SERVICE_ROLE,
    problem_of_login,
)
from service.persistence.sessions import CHANGING
from service.persistence.tables import metadata

REVISION = "0005"
"""The newest migration that this code needs. Later ones are accepted, too, unless one of them says
that it takes away what this code needs."""

OK = "ok"
NAMES = (DATABASE, "role", "policies", "schema")

_ACTING = "((user_id = ANY (( SELECT service_acting_users() AS service_acting_users))) IS TRUE)"
_ACTING_UNTIL_0004 = "(user_id = ANY (( SELECT service_acting_users() AS service_acting_users)))"
"""The same rows. This code accepts both, so that it stays ready while migration 0005 runs."""

_RELAY = f"(CURRENT_USER = '{RELAY_ROLE}'::name)"
_ERASER = f"(CURRENT_USER = '{ERASER_ROLE}'::name)"
_OWN = "(( SELECT auth.uid() AS uid) = user_id)"
_POLICIES = {
    ("sessions", "service_acts_for_users", SERVICE_ROLE, "ALL", _ACTING, _ACTING),
    ("events", "service_acts_for_users", SERVICE_ROLE, "ALL", _ACTING, _ACTING),
    ("outbox", "service_acts_for_users", SERVICE_ROLE, "INSERT", None, _ACTING),
    ("events", "relay_reads_everything", RELAY_ROLE, "SELECT", _RELAY, None),
    ("outbox", "relay_empties_the_queue", RELAY_ROLE, "ALL", _RELAY, _RELAY),
    ("parked_events", "relay_parks", RELAY_ROLE, "ALL", _RELAY, _RELAY),
    ("prunings", "relay_reads_prunings", RELAY_ROLE, "SELECT", _RELAY, None),
    *(
        (table, "eraser_erases", ERASER_ROLE, "ALL", _ERASER, _ERASER)
        for table in ("sessions", "events", "outbox", "parked_events", "prunings")
    ),
    ("sessions", "users_read_their_own", "authenticated", "SELECT", _OWN, None),
    ("events", "users_read_their_own", "authenticated", "SELECT", _OWN, None),
}

_ROLE_IS_POWERLESS = text("""
    SELECT NOT (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb
            OR rolreplication)
        AND NOT EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid)
    FROM pg_roles WHERE rolname = :role
""").bindparams(role=SERVICE_ROLE)

_TABLES_ARE_GUARDED = text("""
    SELECT count(*) = 5 FROM pg_class
    WHERE oid IN (to_regclass('sessions'), to_regclass('events'), to_regclass('outbox'),
            to_regclass('parked_events'), to_regclass('prunings'))
        AND relrowsecurity AND relforcerowsecurity AND NOT EXISTS (
            SELECT FROM pg_partition_tree(pg_class.oid) AS tree, pg_class AS part
            WHERE level > 0 AND part.oid = relid AND (
                NOT part.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = relid)
            )
        )
""")

_PRESENT_POLICIES = text("""
    SELECT tablename, policyname, array_to_string(roles, ' '), cmd, qual, with_check
    FROM pg_policies
    JOIN pg_class ON relname = tablename AND relnamespace = to_regnamespace(quote_ident(schemaname))
    WHERE oid IN (to_regclass('sessions'), to_regclass('events'), to_regclass('outbox'),
            to_regclass('parked_events'), to_regclass('prunings'))
        AND permissive = 'PERMISSIVE'
""")

_IS_READ_ONLY = text("SELECT current_setting('transaction_read_only')::boolean")

# Of the whole table, or of one column.
_GRANTS = {
    *product(("sessions", "events"), (None,), ("SELECT", "INSERT")),
    *product(("outbox",), ("user_id", "event_id"), ("INSERT",)),
    *product(("sessions",), CHANGING, ("UPDATE",)),
}
_PRESENT_GRANTS = text("""
    SELECT relname, attname, privilege_type FROM (
        SELECT oid, relname, NULL AS attname, relacl AS acl FROM pg_class
        UNION ALL SELECT attrelid, relname, attname, attacl
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    ) AS granted, aclexplode(acl)
    WHERE oid IN (to_regclass('sessions'), to_regclass('events'), to_regclass('outbox'),
            to_regclass('parked_events'), to_regclass('prunings'))
        AND grantee IN (0, to_regrole(:role))  -- 0 is PUBLIC
""").bindparams(role=SERVICE_ROLE)

_ACTING_USERS_CAN_BE_CALLED = text(
    "SELECT has_function_privilege(:role, to_regprocedure('service_acting_users()'), 'EXECUTE')"
).bindparams(role=SERVICE_ROLE)

_MISSING_COLUMNS = text("""
    SELECT each FROM unnest(CAST(:columns AS text[])) AS each
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(split_part(each, '.', 1)) AND NOT attisdropped
            AND attname = split_part(each, '.', 2)
    )
""").bindparams(
    columns=[f"{table.name}.{each.name}" for table in metadata.sorted_tables for each in table.c]
)

_BECOME_SERVICE = text("SELECT set_config('role', :role, true)").bindparams(role=SERVICE_ROLE)
_PRESENT_REVISION = text("""
    SELECT version_num, obj_description(to_regclass('alembic_version'), 'pg_class')
    FROM alembic_version
""")
_OLDEST_COMPATIBLE = re.compile(r"oldest compatible revision: (\d{4})")


async def check_all(connection: AsyncConnection, results: dict[str, str]) -> None:
    """Sets "ok" or the problem under each of NAMES, as far as it comes."""
    results[DATABASE] = await _database(connection)
    results["role"] = await _role(connection)
    results["policies"] = await _policies(connection)
    results["schema"] = await _schema(connection)


async def _database(connection: AsyncConnection) -> str:
    if not await connection.scalar(_IS_READ_ONLY):
        return OK
    leave_server(connection)
    return "can only be read"


async def _role(connection: AsyncConnection) -> str:
    if not await connection.scalar(_ROLE_IS_POWERLESS):
        return f"{SERVICE_ROLE} is missing or has powers that it must not have"
    if not await _has_its_grants_alone(connection):
        return f"{SERVICE_ROLE} is granted more or less than by the migrations"
    problem = await problem_of_login(connection, SERVICE_ROLE)
    return f"the login {problem}" if problem else OK


async def _has_its_grants_alone(connection: AsyncConnection) -> bool:
    """Columns that are missing, or that a later migration has added, do not count."""
    missing = await _missing_columns(connection)
    needed = {each for each in _GRANTS if f"{each[0]}.{each[1]}" not in missing}
    rows = await connection.execute(_PRESENT_GRANTS)
    granted = {(table, column, right) for table, column, right in rows if _is_known(table, column)}
    return granted == needed and await connection.scalar(_ACTING_USERS_CAN_BE_CALLED)


async def _policies(connection: AsyncConnection) -> str:
    if not await connection.scalar(_TABLES_ARE_GUARDED):
        return "row-level security is not enabled and forced on every table, or a partition is open"
    rows = await connection.execute(_PRESENT_POLICIES)
    present = {_normal(row) for row in rows if not _is_of_a_later_role(row[2])}
    return OK if present == _POLICIES else "the policies are not those of the migrations"


async def _schema(connection: AsyncConnection) -> str:
    try:
        await connection.execute(_BECOME_SERVICE)
        row = (await connection.execute(_PRESENT_REVISION)).one_or_none()
    except DBAPIError as exc:
        if not is_wrong_installation(exc):
            raise
        is_role = is_forbidden(exc)
        return f"cannot be read as {SERVICE_ROLE}" if is_role else "no migration has run"
    revision, comment = row or (None, None)
    if revision is None or not re.fullmatch(r"\d{4}", revision) or revision < REVISION:
        return f"at revision {revision}, which is not {REVISION} or later"
    oldest = _OLDEST_COMPATIBLE.search(comment or "")
    if oldest and oldest[1] > REVISION:
        return f"at revision {revision}, for versions of the service from {oldest[1]} on"
    return await check_tables(connection)


async def check_tables(connection: AsyncConnection) -> str:
    """Also for a login that may not read the revision, such as the relay's."""
    missing = await _missing_columns(connection)
    return f"{', '.join(missing)} cannot be found" if missing else OK


async def _missing_columns(connection: AsyncConnection) -> list[str]:
    return list((await connection.scalars(_MISSING_COLUMNS)).all())


def _is_known(table: str, column: str | None) -> bool:
    return column is None or column in metadata.tables[table].columns


def _is_of_a_later_role(names: str) -> bool:
    """True if a later migration made the roles of a policy: it does not concern this version."""
    return all(name.startswith(ROLE_PREFIX) and name not in ROLES for name in names.split(" "))


def _normal(row: Any) -> tuple[Any, ...]:
    """PostgreSQL versions differ in where they print a cast."""
    without_casts = (each.replace("::uuid[]", "") if each else each for each in row[4:])
    return (*row[:4], *(_ACTING if each == _ACTING_UNTIL_0004 else each for each in without_casts))
