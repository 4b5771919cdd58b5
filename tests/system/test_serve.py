# SPDX-License-Identifier: MIT
"""python -m service serve: its workers, signals, logs and settings."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.builders import SECRET, a_token, bearer
from tests.group_commit.proxy import Cut, Proxy, a_proxy
from tests.running import App, TestDatabase, eventually
from tests.system.processes import (
    LONG_TIME_LIMITS,
    a_service,
    finished,
    half_a_request,
    serve_environment,
)

REASON = "a knee that hurts"
SHORT_TIME_LIMITS = {
    "database_lock_timeout_seconds": "0.5",
    "database_statement_timeout_seconds": "1",
    "database_idle_in_transaction_timeout_seconds": "1.5",
}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_finishes_a_running_request_after_sigterm(
    database: TestDatabase, workers: str
) -> None:
    session = await database.a_session()
    async with a_service(database.api_url, workers=workers, **LONG_TIME_LIMITS) as (process, app):
        async with _locked(database):
            request = asyncio.create_task(app.fail(session, reason=REASON))
            await eventually(lambda: _somebody_waits_for_a_lock(database))
            process.signal(signal.SIGTERM)
            await process.line("Shutting down", count=int(workers))

        assert (await request).status_code == 200
        assert await process.end() == 0


async def test_serves_but_is_not_ready_during_the_shutdown_notice(database: TestDatabase) -> None:
    session = await database.a_session()
    async with a_service(database.api_url, shutdown_notice_seconds="3600") as (process, app):
        process.signal(signal.SIGTERM)
        await eventually(lambda: _is_not_ready(app))

        assert (await app.fail(session, reason=REASON)).status_code == 200

        process.signal(signal.SIGTERM)  # again: at once
        assert await process.end() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_ends_after_the_shutdown_notice(database: TestDatabase, workers: str) -> None:
    async with a_service(database.api_url, workers=workers, shutdown_notice_seconds="0.1") as (
        process,
        _,
    ):
        process.signal(signal.SIGTERM)

        assert await process.end() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_ends_in_silence_on_ctrl_c(database: TestDatabase, workers: str) -> None:
    async with a_service(database.api_url, workers=workers) as (process, _):
        os.killpg(process.running.pid, signal.SIGINT)  # as the terminal does

        assert await process.end() == 0
        assert "Traceback" not in process.output


async def _is_not_ready(app: App) -> bool:
    answer = await app.client.get("/readyz")
    if answer.status_code == 200:
        return False
    assert answer.json()["error"]["details"]["checks"] == {"process": "shuts down"}
    return True


async def test_shutdown_waits_for_an_endless_request_no_longer_than_its_limit(
    database: TestDatabase,
) -> None:
    async with (
        a_service(database.api_url, shutdown_timeout_seconds="1") as (process, app),
        half_a_request(app.url, a_token()),
    ):
        process.signal(signal.SIGTERM)

        assert await process.end() == 0


async def test_shutdown_waits_for_a_silent_database_no_longer_than_its_limit(
    database: TestDatabase,
) -> None:
    session = await database.a_session()
    async with (
        a_proxy(database.api_url) as proxy,
        a_service(proxy.url, shutdown_timeout_seconds="1", **SHORT_TIME_LIMITS) as (process, app),
    ):
        proxy.cuts = [Cut.VANISHED_BEFORE] * 10_000
        request = asyncio.create_task(app.fail(session))
        await eventually(lambda: _is_made(proxy))
        process.signal(signal.SIGTERM)

        await process.end()
        await asyncio.gather(request, return_exceptions=True)

    assert await database.events() == []


async def _is_made(proxy: Proxy) -> bool:
    return bool(proxy.made)


async def test_logs_one_line_of_json_for_each_request(database: TestDatabase) -> None:
    session = await database.a_session()
    async with a_service(database.api_url) as (process, app):
        for request_id in ("first", "again"):
            await app.fail(session, headers={"X-Request-Id": request_id})
        await app.get(session, headers={"X-Request-Id": "look"})
        await app.client.get("/gym", headers={"X-Request-Id": "lost"})
        process.signal(signal.SIGTERM)
        assert await process.end() == 0

    logged = [json.loads(line) for line in process.out]
    requests = [line for line in logged if line["event"] == "request"]
    assert [
        (line["request_id"], line["method"], line["route"], line["status"], line["code"])
        for line in requests
    ] == [
        ("first", "POST", "/sessions/{session_id}/fail", 200, None),
        ("again", "POST", "/sessions/{session_id}/fail", 409, "INVALID_STATUS"),
        ("look", "GET", "/sessions/{session_id}", 200, None),
        ("lost", "GET", None, 404, "NOT_FOUND"),
    ]
    assert all(line["duration_ms"] > 0 for line in requests)
    assert process.err == []


async def test_logs_neither_secrets_nor_reasons_when_a_write_fails(
    database: TestDatabase,
) -> None:
    kept, lost = await database.a_session(), await database.a_session()
    password = uuid4().hex
    async with (
        _a_login(database, password) as url,
        a_service(url, log_level="debug") as (process, app),
    ):
        assert (await app.fail(kept, reason=REASON)).status_code == 200
        await _refuse_events_in_their_own_words(database)
        failure = await app.fail(lost, reason=REASON)
        process.signal(signal.SIGTERM)
        assert await process.end() == 0

    assert failure.status_code == 500
    assert failure.json()["error"]["code"] == "INTERNAL_ERROR"
    assert (await database.row(lost))["status"] == "in_progress"
    assert "asyncpg.exceptions.RaiseError" in process.output
    assert '"code": "INTERNAL_ERROR"' in process.output
    secrets = [SECRET, password, url, a_token().split(".")[0], "knee"]
    assert [secret for secret in secrets if secret in process.output] == []


async def test_logs_no_password_when_the_database_is_missing(database: TestDatabase) -> None:
    password = uuid4().hex
    async with _a_login(database, password) as url:
        missing = urlsplit(url)._replace(path="/no_such_gym").geturl()
        async with a_service(missing) as (process, app):
            response = await app.client.post(f"/sessions/{uuid4()}/fail", headers=bearer(a_token()))
            ready = await app.client.get("/readyz")
            process.signal(signal.SIGTERM)
            assert await process.end() == 0

    assert (response.status_code, ready.status_code) == (503, 503)
    assert password not in process.output


async def test_never_migrates(empty_database: TestDatabase) -> None:
    async with a_service(empty_database.url) as (_, app):
        alive = await app.client.get("/livez")
        ready = await app.client.get("/readyz")

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["error"]["details"]["checks"]["schema"] == "no migration has run"
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert await empty_database.value(tables) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_fails_when_the_port_is_taken(database: TestDatabase, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = serve_environment(database.api_url, port=port, workers=workers)
        done = await finished("serve", environment=environment)

    assert done.code not in (0, 2)
    assert "address already in use" in done.out.lower()


WRONG = {
    "no database": ({"SERVICE_DATABASE_URL": None}, "SERVICE_DATABASE_URL must be set"),
    "another database": (
        {"SERVICE_DATABASE_URL": "mysql://coach:whistle@gym/training"},
        "SERVICE_DATABASE_URL is wrong: it must be a URL that begins with postgresql://",
    ),
    "a misspelled name": (
        {"SERVICE_DATABSE_URL": "postgresql://coach:whistle@gym/training"},
        "SERVICE_DATABSE_URL is not a setting; did you mean SERVICE_DATABASE_URL?",
    ),
    "no key": (
        {"SERVICE_JWT_SECRET": None},
        "SERVICE_JWT_SECRET or SERVICE_JWKS_URL must be set",
    ),
    "a short secret": (
        {"SERVICE_JWT_SECRET": "whistle"},
        "SERVICE_JWT_SECRET is wrong: it must have at least 32 bytes",
    ),
    "a secret from a file with a newline": (
        {"SERVICE_JWT_SECRET": "whistle" * 5 + "\n"},
        "SERVICE_JWT_SECRET is wrong: it begins or ends with white space",
    ),
    "a port in words": ({"SERVICE_PORT": "abc"}, "SERVICE_PORT is wrong: "),
    "a lock timeout longer than the statement's": (
        {"SERVICE_DATABASE_LOCK_TIMEOUT_SECONDS": "9"},
        "SERVICE_DATABASE_LOCK_TIMEOUT_SECONDS must be less than",
    ),
    "a pool too small for its groups": (
        {"SERVICE_GROUPS_IN_FLIGHT": "9"},
        "SERVICE_DATABASE_POOL_SIZE must be at least 2 x SERVICE_GROUPS_IN_FLIGHT",
    ),
}


@pytest.mark.parametrize(("wrong", "complaint"), WRONG.values(), ids=WRONG.keys())
async def test_does_not_start_with_wrong_settings(
    wrong: dict[str, str | None], complaint: str
) -> None:
    right = serve_environment("postgresql://coach:whistle@gym/training")
    environment = {name: value for name, value in (right | wrong).items() if value is not None}

    done = await finished("serve", environment=environment)

    assert done.code == 2
    assert complaint in done.err
    assert "whistle" not in done.out + done.err
    assert "Traceback" not in done.err


@asynccontextmanager
async def _locked(database: TestDatabase) -> AsyncIterator[None]:
    """Locks the whole table, because commands skip locked rows and retry later."""
    connection = await database.connect()
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE sessions")
            yield
    finally:
        await connection.close()


async def _somebody_waits_for_a_lock(database: TestDatabase) -> Any:
    return await database.value(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )


@asynccontextmanager
async def _a_login(database: TestDatabase, password: str) -> AsyncIterator[str]:
    """The URL of a role like the service's, with this password."""
    role = f"runner_{uuid4().hex}"
    await database.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE session_service"
    )
    try:
        url = urlsplit(database.api_url)
        place = url.netloc.rpartition("@")[2]
        yield url._replace(netloc=f"{role}:{password}@{place}").geturl()
    finally:
        await database.execute(f"DROP ROLE {role}")


async def _refuse_events_in_their_own_words(database: TestDatabase) -> None:
    await database.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'no room for %', NEW.event_data;
        END $$
    """)
    await database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
