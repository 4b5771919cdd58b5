# SPDX-License-Identifier: MIT
"""The roles of the API, the relay and the eraser: grants one, and checks what a login may do.

A login acts through its role, which the policies bind. A login with other memberships, powers or
rights could reach rows that its role does not see.
"""

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.application.errors import WrongLogin

ROLE_PREFIX = "session_"
"""Of every role that a migration makes."""

SERVICE_ROLE = "session_service"
RELAY_ROLE = "session_relay"
ERASER_ROLE = "session_eraser"
OPTIONS = {
    SERVICE_ROLE: "--grant-to",
    RELAY_ROLE: "--grant-relay-to",
    ERASER_ROLE: "--grant-eraser-to",
}
"""The option of `migrate` that grants each role."""

ROLES = tuple(OPTIONS)

SET_OPTION_SINCE = (16,)
"""The version of PostgreSQL from which a member of a role may be unable to become the role."""

# MEMBER is any membership: one WITH ADMIN OPTION alone can grant itself the others. A superuser is
# a member of every role.
LOGIN_FACTS = text("""
    WITH login AS (
        SELECT oid, rolcanlogin FROM pg_roles
        WHERE rolname = coalesce(CAST(:login AS name), session_user)
    ), may_become AS (
        SELECT pg_roles.* FROM pg_roles, login WHERE pg_has_role(login.oid, pg_roles.oid, 'MEMBER')
    ), role AS (
        SELECT oid FROM pg_roles WHERE rolname = :role
    ), tables AS (
        SELECT oid, relowner, relnamespace FROM pg_class
        WHERE oid IN (to_regclass('sessions'), to_regclass('events'), to_regclass('outbox'),
            to_regclass('parked_events'), to_regclass('prunings'), to_regclass('alembic_version'))
    )
    SELECT NOT rolcanlogin AS cannot_log_in,
        EXISTS (
            SELECT FROM may_become
            WHERE rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication OR rolname IN (
                'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
        ) AS has_powers,
        EXISTS (
            SELECT FROM may_become, tables JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE may_become.oid IN (relowner, nspowner)
        ) AS may_own,
        (
            SELECT min(rolname::text) FROM may_become
            WHERE rolname = ANY (CAST(:other_roles AS text[]))
        ) AS may_become_other,
        EXISTS (
            SELECT FROM role, tables JOIN pg_attribute ON attrelid = tables.oid,
                unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS privilege
            WHERE attnum > 0 AND NOT attisdropped
                AND has_column_privilege(login.oid, tables.oid, attnum, privilege)
                AND NOT has_column_privilege(role.oid, tables.oid, attnum, privilege)
        ) OR EXISTS (
            SELECT FROM role, tables, unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
            WHERE has_table_privilege(login.oid, tables.oid, privilege)
                AND NOT has_table_privilege(role.oid, tables.oid, privilege)
        ) AS has_rights,
        NOT EXISTS (
            SELECT FROM role WHERE pg_has_role(login.oid, role.oid, CASE
                WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET'
            END)
        ) AS cannot_become_role
    FROM login
""")

PROBLEMS = {
    "cannot_log_in": "cannot log in",
    "has_powers": "is or may become a superuser, or a role with BYPASSRLS, CREATEROLE, REPLICATION"
    " or access to files of the server",
    "may_own": "owns the tables, their schema or the database, or may become their owner",
    "may_become_other": "may become {may_become_other}",
    "has_rights": "has rights on the tables beside those of {role}",
    "cannot_become_role": "cannot become {role}",
}

_REVOCATIONS = text("""
    SELECT format('REVOKE %s FROM %s', roleid::regrole, member::regrole)
        || CASE WHEN current_setting('server_version_num')::int < 160000 THEN ''
            ELSE format(' GRANTED BY %s', grantor::regrole) END
    FROM pg_auth_members
    WHERE roleid = to_regrole(:role) AND member = to_regrole(quote_ident(:login))
""")


async def problem_of_login(
    connection: AsyncConnection, role: str, login: str | None = None
) -> str | None:
    """What keeps a login from acting as this role and as no other, as the end of a sentence.

    Without `login`, the login of the connection.
    """
    facts: RowMapping
    given = {"login": login, "role": role, "other_roles": _others(role)}
    [facts] = (await connection.execute(LOGIN_FACTS, given)).mappings()
    problem = next((words for fact, words in PROBLEMS.items() if facts[fact]), None)
    return problem and problem.format(role=role, may_become_other=facts["may_become_other"])


async def grant_role(connection: AsyncConnection, role: str, login: str) -> str:
    """Lets the login become this role and no longer another. Returns a sentence that says so.

    Raises WrongLogin if the login may do more than the role; the caller then rolls back.
    """
    quoted = connection.dialect.identifier_preparer.quote_identifier(login)
    options = " WITH SET TRUE" if _has_set_option(connection) else ""
    await connection.exec_driver_sql(f"GRANT {role} TO {quoted}{options}")
    revoked = [other for other in _others(role) if await _revoke(connection, other, login)]
    if problem := await problem_of_login(connection, role, login):
        raise WrongLogin(f"{login} {problem}")
    no_longer = f", and no longer {' or '.join(revoked)}" if revoked else ""
    return f"{login} may become {role}{no_longer}."


async def _revoke(connection: AsyncConnection, role: str, login: str) -> bool:
    """True if the login was a member of the role."""
    given = {"role": role, "login": login}
    revocations = (await connection.scalars(_REVOCATIONS, given)).all()
    for revocation in revocations:
        await connection.exec_driver_sql(revocation)
    return bool(revocations)


def _others(role: str) -> list[str]:
    return [each for each in ROLES if each != role]


def _has_set_option(connection: AsyncConnection) -> bool:
    return (connection.dialect.server_version_info or ()) >= SET_OPTION_SINCE
