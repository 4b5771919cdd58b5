"""Checks whether the database can serve: reachable, with the right roles, policies and schema."""

import asyncio
import re
from itertools import product
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.application.errors import DependencyUnavailable
from service.application.ports import ReadinessReport
from service.persistence.engine import leave_server
from service.persistence.errors import (
    DATABASE,
    DRIVER_ERRORS,
    POOLER,
    READS,
    WRITES,
    discreet,
    is_wrong_installation,
    unavailable,
)
from service.persistence.outages import Outages
from service.persistence.roles import RELAY_ROLE, SERVICE_ROLE, problem_of_login
from service.persistence.sessions import CHANGING
from service.persistence.tables import metadata

REVISION = "0003"
"""The newest migration that this code needs. Later ones only add, so they are accepted too."""

TIMEOUT_SECONDS = 3.0
WATCH_MIN_SECONDS, WATCH_MAX_SECONDS = 1.0, 30.0
OK = "ok"
NOT_CHECKED = "not checked"
UNREACHABLE = "cannot be reached"

_CHECKED = (DATABASE, "role", "policies", "schema")
_NEEDED = (*_CHECKED, POOLER)
"""Without these, no request can be served. READS and WRITES show how the last ones ended."""

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
_PRESENT_REVISION = text("SELECT version_num FROM alembic_version")


class Readiness:
    """The checks, for probes and for the log of outages."""

    def __init__(self, engine: AsyncEngine, outages: Outages | None = None) -> None:
        self._engine = engine
        self._outages = outages or Outages()
        self._check: asyncio.Task[dict[str, str]] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def report(self) -> ReadinessReport:
        """Not being able to write is no reason to send no reads."""
        checks = await self.checks()
        return ReadinessReport(checks, is_ready=all(checks[name] == OK for name in _NEEDED))

    async def checks(self) -> dict[str, str]:
        """Each check by its name, "ok" or the problem.

        Callers share a check that runs already: anyone may call, without a token.
        """
        if self._check is None:
            self._check = asyncio.get_running_loop().create_task(self._run())
        checks = await asyncio.shield(self._check)
        return checks | {part: self._last_attempt(part) for part in (POOLER, READS, WRITES)}

    def start_watch(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._watch_for_outages())

    async def close(self) -> None:
        running = [task for task in (self._watch, self._check) if task]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _watch_for_outages(self) -> None:
        """Checks at the start, and during an outage until it is over, so that the log says both.

        Probes may be rare, and requests may stay away. In between nothing is asked of the
        database, which may sleep while nobody uses it.
        """
        while True:
            pause = WATCH_MIN_SECONDS
            await self.checks()
            while self._outages.is_ongoing(_CHECKED):
                await asyncio.sleep(pause)
                pause = min(2 * pause, WATCH_MAX_SECONDS)
                await self.checks()
            await self._outages.wait_for_one()

    async def _run(self) -> dict[str, str]:
        try:
            checks = await self._check_within_timeout()
        finally:
            self._check = None
        self._note(checks)
        return checks

    def _note(self, checks: dict[str, str]) -> None:
        for name, result in checks.items():
            if result == OK:
                self._outages.succeeded(name)
            elif result not in (NOT_CHECKED, UNREACHABLE):
                self._outages.failed(name, result)

    async def _check_within_timeout(self) -> dict[str, str]:
        checks = dict.fromkeys(_CHECKED, NOT_CHECKED)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._check_all_again_after_a_restart(checks)
        except (DependencyUnavailable, *DRIVER_ERRORS) as exc:
            problem = self._problem(exc)
            self._outages.failed(problem.dependency, problem.cause)
            if problem.dependency == DATABASE:
                checks[DATABASE] = UNREACHABLE
        return checks

    def _problem(self, exc: BaseException) -> DependencyUnavailable:
        if isinstance(exc, DependencyUnavailable):
            return exc
        if isinstance(exc, TimeoutError):
            return DependencyUnavailable(
                DATABASE, f"{self._outages.server} does not answer in time"
            )
        return unavailable(exc)

    async def _check_all_again_after_a_restart(self, checks: dict[str, str]) -> None:
        try:
            await self._check_all(checks)
        except DBAPIError as exc:
            if not exc.connection_invalidated:
                raise
            await self._check_all(checks)

    async def _check_all(self, checks: dict[str, str]) -> None:
        async with self._engine.connect() as connection:
            checks[DATABASE] = await _database(connection)
            checks["role"] = await _role(connection)
            checks["policies"] = await _policies(connection)
            checks["schema"] = await _schema(connection)

    def _last_attempt(self, part: str) -> str:
        cause = self._outages.cause(part)
        return OK if cause is None else discreet(cause)


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
    present = {_normal(row) for row in await connection.execute(_PRESENT_POLICIES)}
    return OK if present == _POLICIES else "the policies are not those of the migrations"


async def _schema(connection: AsyncConnection) -> str:
    try:
        await connection.execute(_BECOME_SERVICE)
        revision = await connection.scalar(_PRESENT_REVISION)
    except DBAPIError as exc:
        if not is_wrong_installation(exc):
            raise
        return "no migration has run"
    if not re.fullmatch(r"\d{4}", revision or "") or revision < REVISION:
        return f"at revision {revision}, which is not {REVISION} or later"
    missing = await _missing_columns(connection)
    return f"{', '.join(missing)} cannot be found" if missing else OK


async def _missing_columns(connection: AsyncConnection) -> list[str]:
    return list((await connection.scalars(_MISSING_COLUMNS)).all())


def _is_known(table: str, column: str | None) -> bool:
    return column is None or column in metadata.tables[table].columns


def _normal(row: Any) -> tuple[Any, ...]:
    """PostgreSQL versions differ in where they print a cast."""
    without_casts = (each.replace("::uuid[]", "") if each else each for each in row[4:])
    return (*row[:4], *without_casts)
