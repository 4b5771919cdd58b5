"""Checks whether the database can serve: reachable, with the right roles, policies and schema."""

import asyncio
import re
from itertools import product
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.persistence.errors import DRIVER_ERRORS
from service.persistence.roles import RELAY_ROLE, SERVICE_ROLE, problem_of_login
from service.persistence.sessions import CHANGING
from service.persistence.tables import metadata

REVISION = "0003"
"""The newest migration that this code needs. Later ones only add, so they are accepted too."""

TIMEOUT_SECONDS = 3.0
OK = "ok"
NOT_CHECKED = "not checked"

_ACTING = "(user_id = ANY (( SELECT service_acting_users() AS service_acting_users)))"
_RELAY = f"(CURRENT_USER = '{RELAY_ROLE}'::name)"
_OWN = "(( SELECT auth.uid() AS uid) = user_id)"
_POLICIES = {
    ("sessions", "service_acts_for_users", SERVICE_ROLE, "ALL", _ACTING, _ACTING),
    ("events", "service_acts_for_users", SERVICE_ROLE, "ALL", _ACTING, _ACTING),
    ("outbox", "service_acts_for_users", SERVICE_ROLE, "INSERT", None, _ACTING),
    ("events", "relay_reads_everything", RELAY_ROLE, "SELECT", _RELAY, None),
    ("outbox", "relay_empties_the_queue", RELAY_ROLE, "ALL", _RELAY, _RELAY),
    ("parked_events", "relay_parks", RELAY_ROLE, "ALL", _RELAY, _RELAY),
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
    SELECT count(*) = 4 FROM pg_class
    WHERE oid IN (to_regclass('sessions'), to_regclass('events'), to_regclass('outbox'),
            to_regclass('parked_events'))
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
            to_regclass('parked_events'))
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
            to_regclass('parked_events'))
        AND grantee IN (0, to_regrole(:role))  -- 0 is PUBLIC
""").bindparams(role=SERVICE_ROLE)

_ACTING_USERS_CAN_BE_CALLED = text(
    "SELECT has_function_privilege(:role, to_regprocedure('service_acting_users()'), 'EXECUTE')"
).bindparams(role=SERVICE_ROLE)

_BECOME_SERVICE = text("SELECT set_config('role', :role, true)").bindparams(role=SERVICE_ROLE)
_PRESENT_REVISION = text("SELECT version_num FROM alembic_version")


class Readiness:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._check: asyncio.Task[dict[str, str]] | None = None

    async def checks(self) -> dict[str, str]:
        """`database`, `role`, `policies` and `schema`, each "ok" or the problem.

        Callers share a check that runs already: anyone may call, without a token.
        """
        if self._check is None:
            self._check = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(self._check)

    async def _run(self) -> dict[str, str]:
        try:
            return await self._check_within_timeout()
        finally:
            self._check = None

    async def _check_within_timeout(self) -> dict[str, str]:
        checks = dict.fromkeys(("database", "role", "policies", "schema"), NOT_CHECKED)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                try:
                    await self._check_all(checks)
                except DBAPIError as exc:
                    if not exc.connection_invalidated:
                        raise
                    await self._check_all(checks)  # the server has been restarted since
        except DRIVER_ERRORS:
            checks["database"] = "cannot be reached"
        return checks

    async def _check_all(self, checks: dict[str, str]) -> None:
        async with self._engine.connect() as connection:
            checks["database"] = await _database(connection)
            checks["role"] = await _role(connection)
            checks["policies"] = await _policies(connection)
            checks["schema"] = await _schema(connection)


async def _database(connection: AsyncConnection) -> str:
    return "can only be read" if await connection.scalar(_IS_READ_ONLY) else OK


async def _role(connection: AsyncConnection) -> str:
    if not await connection.scalar(_ROLE_IS_POWERLESS):
        return f"{SERVICE_ROLE} is missing or has powers that it must not have"
    rows = await connection.execute(_PRESENT_GRANTS)
    granted = {(table, column, right) for table, column, right in rows if _is_known(table, column)}
    as_granted = granted == _GRANTS and await connection.scalar(_ACTING_USERS_CAN_BE_CALLED)
    if not as_granted:
        return f"{SERVICE_ROLE} is granted more or less than by the migrations"
    problem = await problem_of_login(connection, SERVICE_ROLE)
    return f"the login {problem}" if problem else OK


async def _policies(connection: AsyncConnection) -> str:
    if not await connection.scalar(_TABLES_ARE_GUARDED):
        return "row-level security is not enabled and forced on every table, or a partition is open"
    present = {_normal(row) for row in await connection.execute(_PRESENT_POLICIES)}
    return OK if present == _POLICIES else "the policies are not those of the migrations"


async def _schema(connection: AsyncConnection) -> str:
    try:
        await connection.execute(_BECOME_SERVICE)
        revision = await connection.scalar(_PRESENT_REVISION)
    except DBAPIError:
        return "no migration has run"
    if re.fullmatch(r"\d{4}", revision or "") and revision >= REVISION:
        return OK
    return f"at revision {revision}, which is not {REVISION} or later"


def _is_known(table: str, column: str | None) -> bool:
    """Later migrations may add columns, and grant them."""
    return column is None or column in metadata.tables[table].columns


def _normal(row: Any) -> tuple[Any, ...]:
    """PostgreSQL versions differ in where they print a cast."""
    without_casts = (each.replace("::uuid[]", "") if each else each for each in row[4:])
    return (*row[:4], *without_casts)
