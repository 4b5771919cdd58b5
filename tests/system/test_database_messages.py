# SPDX-License-Identifier: MIT
"""migrate and relay say why the database cannot be used, in one sentence without a secret."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.postgres import a_migrated_database, a_postgres
from tests.listening import listening
from tests.logins import PASSWORD, Gate
from tests.running import TestDatabase
from tests.system.processes import Process, finished, free_port, started
from tests.tls import Authority, ending_tls

NO_BROKER = "nats://127.0.0.1:1"
"""The relay asks the database all the same."""


async def migrate(url: str) -> str:
    """The sentence of a failed migration."""
    done = await finished("migrate", environment={"SERVICE_DATABASE_URL": url})

    assert (done.code, done.out) == (1, "")
    assert PASSWORD not in done.err
    [sentence] = done.err.splitlines()
    return sentence


@asynccontextmanager
async def a_relay(url: str) -> AsyncIterator[Process]:
    environment = {"SERVICE_DATABASE_URL": url, "SERVICE_NATS_URL": NO_BROKER}
    async with started("relay", environment=environment) as process:
        yield process
        process.signal(signal.SIGTERM)
        assert await process.end() == 0
        assert PASSWORD not in process.output


def reasons(process: Process) -> list[str]:
    lines = [json.loads(line) for line in process.out]
    return [line["reason"] for line in lines if line.get("state") == "database unavailable"]


@pytest.mark.parametrize(
    ("login", "database", "answer"),
    [
        (
            f"newcomer:{PASSWORD}",
            "postgres",
            'password authentication failed for user "newcomer" (wrong password, or no such role)',
        ),
        ("ghost", "postgres", 'role "ghost" does not exist'),
        (f"coach:{PASSWORD}", "swimming", 'database "swimming" does not exist'),
        (f"runner:{PASSWORD}", "postgres", 'too many connections for role "runner"'),
    ],
)
async def test_names_what_the_server_answers(
    gate: Gate, login: str, database: str, answer: str
) -> None:
    url = gate.url(login=login, database=database)

    assert await migrate(url) == f"The database refuses: {answer}"
    async with a_relay(url) as relay:
        await relay.line("database unavailable")
    assert reasons(relay) == [answer]


async def test_names_a_server_that_is_not_there() -> None:
    port = free_port()
    url = f"postgresql://coach:{PASSWORD}@127.0.0.1:{port}/gym"
    cause = f"127.0.0.1:{port} refuses the connection: no server listens there"

    assert await migrate(url) == f"The database cannot be reached: {cause}."
    async with a_relay(url) as relay:
        await relay.line("database unavailable")
    assert reasons(relay) == [cause]


async def test_names_a_certificate_of_another_authority(gate: Gate, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path), Authority(tmp_path, "another authority")
    async with ending_tls(gate.address, theirs.certificate("localhost")) as port:
        url = f"postgresql://coach:{PASSWORD}@localhost:{port}/postgres"
        sentence = await migrate(f"{url}?sslmode=verify-full&sslrootcert={ours.file}")

    assert sentence == (
        f"The database cannot be reached: the certificate of localhost:{port} is not signed by an"
        " authority that sslrootcert names."
    )


async def test_names_a_server_that_speaks_http() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(serve) as port:
        sentence = await migrate(f"postgresql://coach:{PASSWORD}@127.0.0.1:{port}/gym")

    assert sentence == (
        f"The database cannot be reached: 127.0.0.1:{port} does not answer as a PostgreSQL server"
        " does."
    )


async def test_migrate_says_that_another_version_has_migrated(database: TestDatabase) -> None:
    await database.execute("UPDATE alembic_version SET version_num = '9999'")

    assert await migrate(database.url) == (
        "Another version has migrated this database: Can't locate revision identified by '9999'."
    )


async def test_the_relay_says_an_outage_and_its_end_once() -> None:
    with a_postgres() as postgres:
        async with (
            a_migrated_database(postgres.cluster) as database,
            a_relay(database.relay_url) as relay,
        ):
            await relay.line("broker unavailable")
            await asyncio.to_thread(postgres.stop)
            await relay.line("refuses the connection")
            await asyncio.to_thread(postgres.start)
            await relay.line("broker unavailable", count=2)

    assert len(set(reasons(relay))) == len(reasons(relay))


async def test_every_command_of_the_relay_names_the_missing_table(
    database: TestDatabase, empty_database: TestDatabase
) -> None:
    """`database` is migrated, so that the roles exist."""
    assert database.name != empty_database.name
    environment = {"SERVICE_DATABASE_URL": empty_database.relay_url, "SERVICE_NATS_URL": NO_BROKER}
    for argument in ("--parked", "--retry-parked"):
        done = await finished("relay", argument, environment=environment)
        assert (done.code, done.out) == (1, "")
        assert done.err == 'The database refuses: relation "parked_events" does not exist\n'
