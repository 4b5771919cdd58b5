# SPDX-License-Identifier: MIT
"""Every path: request ids, headers, the format of errors, and health."""

import asyncio
import re
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from service.domain.session import SessionStatus
from service.persistence.checks import OK
from tests.builders import a_session, a_token, bearer
from tests.http.responses import error_of
from tests.running import App, TestDatabase, eventually
from tests.system.processes import LONG_TIME_LIMITS

A_REQUEST_FOR_EVERY_ANSWER = [
    ("GET", "/livez", 200),
    ("GET", "/readyz", 200),
    ("GET", "/nowhere", 404),
    ("GET", "/livez/", 404),
    ("DELETE", "/livez", 405),
    ("GET", "/sessions/knee", 401),
    ("GET", "/sessions/knee/fail", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), A_REQUEST_FOR_EVERY_ANSWER)
async def test_every_response_has_the_headers(
    app: App, method: str, path: str, status: int
) -> None:
    response = await app.client.request(method, path)

    assert response.status_code == status
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Type"] == "application/json"
    assert UUID(response.headers["X-Request-Id"]).version == 4


@pytest.mark.parametrize("given", ["phone-7", "a.B_9", "x" * 128])
async def test_keeps_the_callers_request_id(app: App, given: str) -> None:
    response = await app.client.get("/nowhere", headers={"X-Request-Id": given})

    assert response.headers["X-Request-Id"] == given
    assert response.json()["error"]["details"]["requestId"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "a/b", 'a"b', "é"])
async def test_replaces_a_malformed_request_id(app: App, given: str) -> None:
    headers = httpx2.Headers({"X-Request-Id": given}, encoding="latin-1")

    response = await app.client.get("/nowhere", headers=headers)

    assert str(UUID(response.headers["X-Request-Id"])) != given


@pytest.mark.parametrize("path", ["/", "/sessions/", "/sessions/a/b", "/sessions//fail", "/LIVEZ"])
async def test_returns_404_for_an_unknown_path(app: App, path: str) -> None:
    response = await app.client.get(path)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/sessions", "GET, HEAD, POST"),
        ("DELETE", "/sessions/a", "GET, HEAD, PATCH"),
        ("POST", "/sessions/a/events", "GET, HEAD"),
        ("GET", "/sessions/a/start", "POST"),
        ("PUT", "/sessions/a/complete", "POST"),
        ("GET", "/sessions/a/fail", "POST"),
        ("OPTIONS", "/sessions/a/fail", "POST"),
        ("POST", "/readyz", "GET, HEAD"),
    ],
)
async def test_returns_405_and_names_the_allowed_methods(
    app: App, method: str, path: str, allowed: str
) -> None:
    response = await app.client.request(method, path)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == allowed


async def test_livez_needs_no_database(start_app: Any) -> None:
    app = await start_app(database_url="postgresql://nobody@127.0.0.1:1/nothing")

    response = await app.client.get("/livez")

    assert (response.status_code, response.json()["data"]) == (200, {"status": "alive"})


async def test_readyz_returns_200_and_names_every_check(app: App) -> None:
    response = await app.client.get("/readyz")

    assert response.status_code == 200
    assert response.json()["data"]["checks"] == {
        "database": OK,
        "role": OK,
        "policies": OK,
        "schema": OK,
        "pooler": OK,
        "reads": OK,
        "writes": OK,
    }


async def test_readyz_returns_503_and_names_the_failed_check(
    app: App, database: TestDatabase
) -> None:
    assert (await app.client.get("/readyz")).status_code == 200  # else it could share an old check
    await database.execute("ALTER TABLE sessions DISABLE ROW LEVEL SECURITY")

    response = await app.client.get("/readyz")

    error = error_of(response)
    assert (response.status_code, error["code"]) == (503, "NOT_READY")
    failing = {name for name, result in error["details"]["checks"].items() if result != OK}
    assert failing == {"policies"}
    assert int(response.headers["Retry-After"]) > 0


async def test_returns_503_when_the_database_cannot_be_reached(start_app: Any) -> None:
    app = await start_app(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    session = a_session()

    for response in (await app.fail(session), await app.get(session)):
        error = error_of(response)
        assert (response.status_code, error["code"]) == (503, "DEPENDENCY_UNAVAILABLE")
        assert int(response.headers["Retry-After"]) > 0
        assert error["details"] == {}
        assert "127.0.0.1" not in response.text


@pytest.mark.parametrize("first", ["fail", "get", "readyz"])
async def test_returns_200_after_the_database_closed_every_connection(
    app: App, database: TestDatabase, first: str
) -> None:
    """A restart of the database leaves dead connections in the pool."""
    sessions = [a_session() for _ in range(20)]
    await database.insert(*sessions)
    await asyncio.gather(*(app.get(each) for each in sessions))
    requests = {
        "fail": lambda: app.fail(sessions[0]),
        "get": lambda: app.get(sessions[0]),
        "readyz": lambda: app.client.get("/readyz"),
    }

    await database.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    assert (await requests[first]()).status_code == 200


EVERY_CALL = [
    ("POST", "/sessions"),
    ("GET", "/sessions"),
    ("GET", "/sessions/{id}"),
    ("GET", "/sessions/{id}/events"),
    ("POST", "/sessions/{id}/start"),
    ("POST", "/sessions/{id}/complete"),
    ("POST", "/sessions/{id}/fail"),
]


@pytest.mark.parametrize(("method", "path"), EVERY_CALL)
async def test_every_call_returns_503_without_migrations(
    start_app: Any, template: str, empty_database: TestDatabase, method: str, path: str
) -> None:
    """The template is another database of the server, so that the roles exist."""
    app = await start_app(database_url=empty_database.api_url)

    response = await app.call(uuid4(), method, path.format(id=uuid4()))

    error = error_of(response)
    assert (response.status_code, error["code"]) == (503, "DEPENDENCY_UNAVAILABLE")
    assert error["details"] == {}
    assert "relation" not in response.text


@pytest.mark.parametrize("first", ["fail", "get", "list"])
async def test_returns_200_after_a_migration_changed_the_type_of_a_column(
    app: App, database: TestDatabase, first: str
) -> None:
    """PostgreSQL refuses statements that were prepared before."""
    before, session = await database.a_session(), await database.a_session()
    owner = session.user_id
    await app.fail(before)
    await app.get(before)
    await app.call(owner, "GET", "/sessions")

    await database.execute("ALTER TABLE sessions ALTER COLUMN notes TYPE varchar(3000)")

    requests = {
        "fail": lambda: app.fail(session),
        "get": lambda: app.get(session),
        "list": lambda: app.call(owner, "GET", "/sessions"),
    }
    assert (await requests[first]()).status_code == 200


async def test_returns_503_when_the_database_is_read_only(
    start_app: Any, database: TestDatabase
) -> None:
    """A standby may lag behind, so a refusal by its rows would be wrong."""
    session = await database.a_session()
    ended = await database.a_session(status=SessionStatus.COMPLETED)
    await database.execute(
        f"ALTER ROLE {database.cluster.api_role} IN DATABASE {database.name}"
        " SET default_transaction_read_only = on"
    )
    app = await start_app()  # whose first check logs in

    failed = [await app.fail(each) for each in (session, ended, a_session())]
    ready = await app.client.get("/readyz")

    assert [error_of(each)["code"] for each in failed] == ["DEPENDENCY_UNAVAILABLE"] * 3
    assert error_of(ready)["details"]["checks"]["database"] == "can only be read"


async def test_returns_503_when_prepared_statements_disappear(
    start_app: Any, database: TestDatabase
) -> None:
    """As behind a pooler in transaction mode, if the setting for it is missing."""
    connections = 6
    app = await start_app(database_pool_size=connections)
    sessions = [await database.a_session() for _ in range(connections + 1)]
    await database.execute("""
        CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN NULL; END $$
    """)
    await database.execute(
        "CREATE TRIGGER forget AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION forget()"
    )

    answers = [await app.fail(each) for each in sessions]
    ready = await app.client.get("/readyz")

    assert {each.status_code for each in answers} == {200, 503}
    assert error_of(answers[-1])["code"] == "DEPENDENCY_UNAVAILABLE"
    assert ready.status_code == 503
    pooler = error_of(ready)["details"]["checks"]["pooler"]
    assert "SERVICE_DATABASE_TRANSACTION_POOLER=true" in pooler


async def test_a_read_that_takes_too_long_gets_503(start_app: Any, database: TestDatabase) -> None:
    app = await start_app(
        database_lock_timeout_seconds=0.05, database_statement_timeout_seconds=0.1
    )
    session = await database.a_session()

    async with database.connection.transaction():
        await database.execute("LOCK TABLE sessions")
        response = await app.get(session)

    assert error_of(response)["code"] == "DEPENDENCY_UNAVAILABLE"


async def test_returns_500_without_internals_when_a_statement_fails_unexpectedly(
    app: App, database: TestDatabase
) -> None:
    """The insert of the event fails: nothing is written, and the answer names no cause."""
    session = await database.a_session()
    before = await database.row(session)
    await database.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'no room for %', NEW.event_data; END $$
    """)
    await database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

    response = await app.fail(session, reason="shoulder pain")

    error = error_of(response)
    assert (response.status_code, error["code"]) == (500, "INTERNAL_ERROR")
    assert error["details"] == {}
    for hint in ("room", "shoulder", "INSERT", "events", "sqlalchemy", "Traceback", "refuse"):
        assert hint not in response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert await database.row(session) == before
    assert await database.events() == await database.outbox() == []


async def test_the_connection_stays_usable_after_an_unhandled_exception(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    await database.execute("ALTER TABLE events ADD CONSTRAINT nothing CHECK (false)")
    assert (await app.fail(session)).status_code == 500

    await database.execute("ALTER TABLE events DROP CONSTRAINT nothing")

    assert (await app.fail(session)).status_code == 200


async def test_no_response_repeats_the_token(app: App) -> None:
    token = a_token()

    responses = [
        await app.client.get("/nowhere", headers=bearer(token)),
        await app.client.get("/sessions/knee", headers=bearer(token)),
        await app.client.get("/sessions/knee", headers=bearer(token + "x")),
    ]

    assert not any(token in _everything(response) for response in responses)


def _everything(response: httpx2.Response) -> str:
    return re.sub(r"\s", "", f"{response.headers}{response.text}")


async def test_readyz_answers_while_every_slot_waits_for_the_database(
    start_app: Any, database: TestDatabase
) -> None:
    app = await start_app(groups_in_flight=2, database_pool_size=7, **LONG_TIME_LIMITS)

    await database.execute("""
        CREATE OR REPLACE FUNCTION service_acting_users() RETURNS uuid[] LANGUAGE sql AS $$
            SELECT pg_advisory_xact_lock_shared(1);
            SELECT string_to_array(current_setting('service.acting_users'), ',')::uuid[]
        $$
    """)
    sessions = [await database.a_session() for _ in range(9)]
    async with database.connection.transaction():
        await database.execute("SELECT pg_advisory_xact_lock(1)")
        calls = [app.call(each.user_id, "GET", "/sessions") for each in sessions]
        calls += [app.fail(each) for each in sessions]
        waiting = [asyncio.create_task(each) for each in calls]
        await eventually(lambda: _waiting(database, 4))
        ready = await app.client.get("/readyz")

    assert ready.status_code == 200
    assert {(await each).status_code for each in waiting} == {200}


async def _waiting(database: TestDatabase, number: int) -> bool:
    waiting = await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return bool(waiting == number)
