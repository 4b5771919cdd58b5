# SPDX-License-Identifier: MIT
"""python -m service serve says in its log what the database cannot do, and when it is over."""

import asyncio
import json
import re
import signal
from typing import Any

import pytest

from tests.builders import a_session
from tests.faults.postgres import a_migrated_database, a_postgres
from tests.http.responses import error_of
from tests.listening import listening
from tests.logins import Gate
from tests.running import App, TestDatabase
from tests.system.processes import Process, a_service

MANY = 30
"""Fewer than the commands of one user that may wait."""


def outages(process: Process, dependency: str) -> list[str | None]:
    """The causes in the log; None for the end of an outage."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in process.out]
    return [line.get("cause") for line in lines if line.get("dependency") == dependency]


async def stopped(process: Process) -> None:
    process.signal(signal.SIGTERM)
    assert await process.end() == 0


async def has_checked(app: App) -> None:
    """Waits for the check at the start, which a later probe could share."""
    assert (await app.client.get("/readyz")).status_code == 200


async def many_requests(app: App) -> list[int]:
    """Commands, reads and probes."""
    session = a_session()
    calls = [
        call
        for _ in range(MANY)
        for call in (app.fail(session), app.get(session), app.client.get("/readyz"))
    ]
    return [answer.status_code for answer in await asyncio.gather(*calls)]


async def test_says_a_wrong_password_at_the_start_and_that_it_is_right_now(gate: Gate) -> None:
    await gate.execute("CREATE ROLE newcomer LOGIN PASSWORD 'right'")
    async with a_service(gate.url(login="newcomer:wrong")) as (process, app):
        await process.line("unavailable")
        assert set(await many_requests(app)) == {503}
        await gate.execute("ALTER ROLE newcomer PASSWORD 'wrong'")
        await process.line("available again")
        await stopped(process)

    assert outages(process, "database") == [
        'password authentication failed for user "newcomer" (wrong password, or no such role)',
        None,
    ]
    assert "wrong@" not in process.output


async def test_says_an_outage_once_however_many_requests_it_refuses() -> None:
    with a_postgres() as postgres:
        async with (
            a_migrated_database(postgres.cluster) as database,
            a_service(database.api_url) as (process, app),
        ):
            await has_checked(app)
            session = await database.a_session()
            await asyncio.to_thread(postgres.stop)
            assert set(await many_requests(app)) == {503}
            await process.line("refuses the connection")
            await asyncio.to_thread(postgres.start)
            await process.line("available again")
            assert (await app.get(session)).status_code == 200
            await stopped(process)

    *causes, end = outages(process, "database")
    assert len(causes) == len(set(causes))
    assert end is None
    assert outages(process, "reads") == outages(process, "writes") == []
    assert [line for line in map(json.loads, process.out) if line["event"] == "unhandled"] == []


async def test_says_a_failed_check_and_that_it_is_passed_again(database: TestDatabase) -> None:
    async with a_service(database.api_url) as (process, app):
        await has_checked(app)
        await database.execute("ALTER TABLE events DISABLE ROW LEVEL SECURITY")
        for _ in range(MANY):
            assert (await app.client.get("/readyz")).status_code == 503
        await database.execute("ALTER TABLE events ENABLE ROW LEVEL SECURITY")
        await process.line("available again")
        await stopped(process)

    assert outages(process, "policies") == [
        "row-level security is not enabled and forced on every table, or a partition is open",
        None,
    ]


async def test_names_what_is_missing_without_migrations(
    database: TestDatabase, empty_database: TestDatabase
) -> None:
    """`database` is migrated, so the roles exist."""
    assert database.name != empty_database.name
    async with a_service(empty_database.api_url) as (process, app):
        await process.line("no migration has run")
        session = a_session()
        answers = [await call for call in (app.fail(session), app.get(session))]
        await stopped(process)

    assert [error_of(each)["code"] for each in answers] == ["DEPENDENCY_UNAVAILABLE"] * 2
    assert outages(process, "schema") == ["no migration has run"]
    for dependency in ("reads", "writes"):
        [cause] = outages(process, dependency)
        assert cause
        assert cause.startswith('relation "sessions" does not exist (42P01): run `migrate`')


async def test_a_request_that_is_refused_has_its_code_in_the_log() -> None:
    async with a_service("postgresql://coach:hush@127.0.0.1:1/gym") as (process, app):
        response = await app.fail(a_session(), headers={"X-Request-Id": "phone-7"})
        await stopped(process)

    assert error_of(response)["code"] == "DEPENDENCY_UNAVAILABLE"
    [line] = [line for line in map(json.loads, process.out) if line["event"] == "request"]
    assert (line["request_id"], line["code"]) == ("phone-7", "DEPENDENCY_UNAVAILABLE")
    assert outages(process, "database") == [
        "127.0.0.1:1 refuses the connection: no server listens there"
    ]
    assert "hush" not in process.output


@pytest.mark.parametrize(
    ("place", "pooler", "ports"),
    [
        ("db.example.supabase.co:6543/postgres", "false", [["6543"]]),
        ("aws-0.pooler.supabase.com:5432/postgres", "false", [["5432", "5432"]]),
        ("db.example.supabase.co:6543/postgres", "true", []),
    ],
)
async def test_names_the_setting_for_a_pooler_at_the_start(
    place: str, pooler: str, ports: list[list[str]]
) -> None:
    settings = {"database_transaction_pooler": pooler}
    async with a_service(f"postgresql://coach:hush@{place}", **settings) as (process, _):
        said = [json.loads(line) for line in process.out]

    setting = "SERVICE_DATABASE_TRANSACTION_POOLER"
    lines = [line for line in said if line.get("setting") == setting]
    assert [re.findall(r"port (\d+)", line["reason"]) for line in lines] == ports
    assert {line["level"] for line in lines} <= {"warning"}


async def test_ends_quietly_while_the_first_check_waits_for_the_database() -> None:
    accepted = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()

    async with (
        listening(say_nothing) as port,
        a_service(f"postgresql://coach:hush@127.0.0.1:{port}/gym") as (process, _),
    ):
        await accepted.wait()
        await stopped(process)

    lines = [json.loads(line) for line in process.out]
    assert {line["level"] for line in lines if line["event"] != "unavailable"} == {"info"}
    assert process.err == []
