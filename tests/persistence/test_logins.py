# SPDX-License-Identifier: MIT
"""A login of the API or of the relay may become its own role, and do nothing else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import NullPool

from service.application.errors import WrongLogin
from service.bootstrap.migrations import migrate
from service.persistence.checks import OK
from service.persistence.engine import create_engine
from service.persistence.outbox import Outbox
from service.persistence.readiness import Readiness
from service.persistence.roles import RELAY_ROLE, SERVICE_ROLE
from tests.running import TestDatabase

POWERS = "is or may become a superuser"
OWNER = "owns the tables, their schema or the database"
RIGHTS = "has rights on the tables beside those of"

TOO_MUCH = [
    ("ALTER ROLE {login} SUPERUSER", POWERS),
    ("ALTER ROLE {login} BYPASSRLS", POWERS),
    ("ALTER ROLE {login} CREATEROLE", POWERS),
    ("ALTER ROLE {login} REPLICATION", POWERS),
    ("ALTER ROLE {group} BYPASSRLS", POWERS),
    ("GRANT pg_read_server_files TO {login}", POWERS),
    ("GRANT pg_write_server_files TO {login}", POWERS),
    ("GRANT pg_execute_server_program TO {group}", POWERS),
    ("ALTER TABLE events OWNER TO {login}", OWNER),
    ("ALTER TABLE sessions OWNER TO {group}", OWNER),
    ("ALTER SCHEMA public OWNER TO {login}", OWNER),
    ("ALTER DATABASE {database} OWNER TO {login}", OWNER),
    ("GRANT DELETE ON events TO {login}", RIGHTS),
    ("GRANT TRUNCATE ON outbox TO {group}", RIGHTS),
    ("GRANT UPDATE ON sessions TO {login}", RIGHTS),
    ("GRANT UPDATE (event_data) ON events TO {login}", RIGHTS),
    ("GRANT ALL ON ALL TABLES IN SCHEMA public TO {login}", RIGHTS),
    ("GRANT pg_write_all_data TO {login}", RIGHTS),
]
OF_ANOTHER_ROLE = [
    "GRANT {other} TO {login}",
    "GRANT {other} TO {login} WITH ADMIN OPTION",
    "GRANT {other} TO {group}",
]


@pytest.fixture
async def login(database: TestDatabase) -> AsyncIterator[str]:
    """A login that is a member of a group, and of nothing else."""
    name = f"login_{database.name}"
    for statement in (
        f"CREATE ROLE {name} LOGIN PASSWORD '{database.cluster.password}'",
        f"CREATE ROLE group_of_{name}",
        f"GRANT group_of_{name} TO {name}",
    ):
        await database.execute(statement)
    yield name
    for role in (name, f"group_of_{name}"):
        await database.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        await database.execute(f"DROP OWNED BY {role}")
        await database.execute(f"DROP ROLE {role}")


async def execute(database: TestDatabase, statement: str, login: str, other: str = "") -> None:
    names = {"login": login, "group": f"group_of_{login}", "database": database.name}
    await database.execute(statement.format(other=other, **names))


async def grant(database: TestDatabase, **logins: Any) -> list[str]:
    return await asyncio.to_thread(migrate, database.settings, **logins)


async def readiness(database: TestDatabase, login: str) -> dict[str, str]:
    url = database.cluster.login_url(login, database.name)
    return await Readiness(create_engine(url, connect_timeout=5, poolclass=NullPool)).checks()


async def lead(database: TestDatabase, login: str) -> None:
    url = database.cluster.login_url(login, database.name)
    engine = create_engine(url, connect_timeout=5, poolclass=NullPool)
    async with Outbox(engine, lease=10, statement_timeout=5).leadership() as leadership:
        assert leadership


async def memberships(database: TestDatabase, login: str) -> set[str]:
    rows = await database.fetch(
        "SELECT roleid::regrole::text AS role FROM pg_auth_members WHERE member = $1::regrole",
        login,
    )
    return {row["role"] for row in rows} - {f"group_of_{login}"}


async def test_a_login_that_was_granted_one_role_can_do_its_work(
    database: TestDatabase, login: str
) -> None:
    assert await grant(database, grant_to=login) == [f"{login} may become session_service."]
    assert set((await readiness(database, login)).values()) == {OK}
    with pytest.raises(WrongLogin, match="may become session_service"):
        await lead(database, login)

    assert await grant(database, grant_relay_to=login) == [
        f"{login} may become session_relay, and no longer session_service."
    ]
    await lead(database, login)
    assert "may become session_relay" in (await readiness(database, login))["role"]


async def test_a_login_without_a_grant_can_do_nothing(database: TestDatabase, login: str) -> None:
    assert (await readiness(database, login))["role"] == "the login cannot become session_service"
    with pytest.raises(WrongLogin, match=r"cannot become session_relay\. .* --grant-relay-to"):
        await lead(database, login)


async def test_a_login_with_both_roles_keeps_the_one_that_is_granted(
    database: TestDatabase, login: str
) -> None:
    for option, kept, taken in [
        ("grant_to", SERVICE_ROLE, RELAY_ROLE),
        ("grant_relay_to", RELAY_ROLE, SERVICE_ROLE),
    ]:
        await database.execute(f"GRANT session_service, session_relay TO {login}")

        first = await grant(database, **{option: login})
        again = await grant(database, **{option: login})

        assert first == [f"{login} may become {kept}, and no longer {taken}."]
        assert again == [f"{login} may become {kept}."]
        assert await memberships(database, login) == {kept}


async def test_two_logins_exchange_their_roles(database: TestDatabase, login: str) -> None:
    other = f"other_{login}"
    await database.execute(f"CREATE ROLE {other} LOGIN")
    try:
        await grant(database, grant_to=login, grant_relay_to=other)
        await grant(database, grant_to=other, grant_relay_to=login)

        assert await memberships(database, other) == {SERVICE_ROLE}
        assert await memberships(database, login) == {RELAY_ROLE}
    finally:
        await database.execute(f"DROP ROLE {other}")


async def test_logins_are_granted_in_one_transaction(database: TestDatabase, login: str) -> None:
    with pytest.raises(WrongLogin):
        await grant(database, grant_to=login, grant_relay_to=await database.value("SELECT user"))

    assert await memberships(database, login) == set()


async def test_grants_a_login_whose_name_must_be_quoted(database: TestDatabase) -> None:
    name = f'Coach :"{database.name}" $1'
    quoted = f'"{name.replace(chr(34), chr(34) * 2)}"'
    await database.execute(f"CREATE ROLE {quoted} LOGIN")
    try:
        await database.execute(f"GRANT session_relay TO {quoted}")
        await grant(database, grant_to=name)
        assert await memberships(database, quoted) == {SERVICE_ROLE}
    finally:
        await database.execute(f"DROP ROLE {quoted}")


async def test_refuses_a_role_that_cannot_log_in(database: TestDatabase, login: str) -> None:
    await execute(database, "ALTER ROLE {login} NOLOGIN", login)

    with pytest.raises(WrongLogin, match=f"^{login} cannot log in$"):
        await grant(database, grant_to=login)

    assert await memberships(database, login) == set()


@pytest.mark.parametrize(("statement", "problem"), TOO_MUCH, ids=[each[0] for each in TOO_MUCH])
async def test_refuses_a_login_with_powers_or_rights_of_its_own(
    database: TestDatabase, login: str, statement: str, problem: str
) -> None:
    await database.execute(f"GRANT session_service TO {login}")
    await execute(database, statement, login)

    assert problem in (await readiness(database, login))["role"]
    with pytest.raises(WrongLogin, match=f"^{login} {problem}"):
        await grant(database, grant_to=login)
    with pytest.raises(WrongLogin, match=f"^{login} {problem}"):
        await grant(database, grant_relay_to=login)
    assert RELAY_ROLE not in await memberships(database, login)

    await database.execute(f"REVOKE session_service FROM {login}")
    await database.execute(f"GRANT session_relay TO {login}")
    with pytest.raises(WrongLogin, match=f"^The login of the relay {problem}"):
        await lead(database, login)


@pytest.mark.parametrize("statement", OF_ANOTHER_ROLE)
async def test_an_api_that_may_become_the_relay_is_not_ready(
    database: TestDatabase, login: str, statement: str
) -> None:
    await database.execute(f"GRANT session_service TO {login}")
    await execute(database, statement, login, RELAY_ROLE)

    results = await readiness(database, login)

    assert results["role"] == "the login may become session_relay"
    assert {name for name, result in results.items() if result != OK} == {"role"}


@pytest.mark.parametrize("statement", OF_ANOTHER_ROLE)
async def test_a_relay_that_may_become_the_service_does_not_run(
    database: TestDatabase, login: str, statement: str
) -> None:
    await database.execute(f"GRANT session_relay TO {login}")
    await execute(database, statement, login, SERVICE_ROLE)

    with pytest.raises(WrongLogin, match="may become session_service"):
        await lead(database, login)


async def test_refuses_a_login_that_has_the_other_role_through_a_group(
    database: TestDatabase, login: str
) -> None:
    """Other members of the group may need it."""
    await execute(database, "GRANT session_relay TO {group}", login)

    with pytest.raises(WrongLogin, match=f"^{login} may become session_relay$"):
        await grant(database, grant_to=login)

    assert await memberships(database, login) == set()


async def test_takes_the_other_role_away_whoever_granted_it(
    database: TestDatabase, login: str
) -> None:
    grantor = f"grantor_of_{login}"
    await database.execute(f"CREATE ROLE {grantor} LOGIN PASSWORD 'training' CREATEROLE")
    await database.execute(f"GRANT session_relay TO {grantor} WITH ADMIN OPTION")
    connection = await asyncpg.connect(database.cluster.login_url(grantor, database.name))
    await connection.execute(f"GRANT session_relay TO {login}")
    await connection.close()
    await database.execute(f"GRANT session_relay TO {login}")
    try:
        await grant(database, grant_to=login)
        assert await memberships(database, login) == {SERVICE_ROLE}
    finally:
        await database.execute(f"REVOKE session_relay FROM {grantor} CASCADE")
        await database.execute(f"DROP ROLE {grantor}")


async def test_a_member_that_may_not_become_its_role_is_not_ready_until_it_is_granted_again(
    database: TestDatabase, login: str
) -> None:
    if await database.value("SELECT current_setting('server_version_num')::int >= 160000"):
        # Before PostgreSQL 16, every member may become its role.
        await database.execute(f"GRANT session_service TO {login} WITH SET FALSE")
    assert (await readiness(database, login))["role"] == "the login cannot become session_service"

    await grant(database, grant_to=login)

    assert set((await readiness(database, login)).values()) == {OK}
