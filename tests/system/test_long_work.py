# SPDX-License-Identifier: MIT
"""Long work shows how far it is, and can be stopped."""

import asyncio
import os
import pty
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from service.bootstrap.migrations import ALEMBIC_INI, migrate
from tests.nats_server import NatsServer
from tests.relay.conftest import broker, relay_environment, stream
from tests.relay.queue import many_events
from tests.running import TestDatabase, eventually
from tests.system.processes import SERVICE, started, without_settings

VERSIONS = Path(ALEMBIC_INI).parent / "migrations" / "versions"
SINCE = ("--since", "2026-01-01T00:00:00Z")

__all__ = ["broker", "stream"]


class Recorder:
    """Notes what a command shows."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int | None, str]] = []
        self.done = 0

    def begin(self, task: str, total: int | None, unit: str) -> None:
        self.begun.append((task, total, unit))

    def advance(self, done: int) -> None:
        self.done += done


async def test_migrate_counts_the_migrations_to_come(empty_database: TestDatabase) -> None:
    first, again = Recorder(), Recorder()
    for recorder in (first, again):
        await asyncio.to_thread(migrate, empty_database.settings, progress=recorder)

    number = len(list(VERSIONS.glob("*.py")))
    assert first.begun == [("migrate", number, "migrations")]
    assert (first.done, again.done) == (number, 0)


async def waits_for_a_lock(database: TestDatabase) -> bool:
    return bool(
        await database.value(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


async def test_ctrl_c_stops_migrate_which_begins_again(empty_database: TestDatabase) -> None:
    environment = {"SERVICE_DATABASE_URL": empty_database.url}
    lock = await empty_database.connect()
    transaction = lock.transaction()
    await transaction.start()
    await lock.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    async with started("migrate", environment=environment) as process:
        await eventually(lambda: waits_for_a_lock(empty_database))
        process.signal(signal.SIGINT)
        assert await process.end() == 130, process.output
    await transaction.rollback()
    await lock.close()

    assert process.err == ["Stopped. All migrations have run or none; the same command goes on.\n"]
    async with started("migrate", environment=environment) as process:
        assert await process.end() == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--audit"],
            "Stopped. The audit changes nothing; with a later --since it takes less time.",
        ),
        (
            ["--replay", *SINCE],
            "Stopped. 0 events were published again; the same command goes on.",
        ),
    ],
    ids=["audit", "replay"],
)
async def test_ctrl_c_stops_a_command_of_the_relay(
    database: TestDatabase, stream: NatsServer, arguments: list[str], sentence: str
) -> None:
    await many_events(database, sessions=3)
    await database.execute("DELETE FROM outbox")
    lock = await database.connect()
    transaction = lock.transaction()
    await transaction.start()
    await lock.execute("LOCK TABLE events")
    async with started(
        "relay", *arguments, environment=relay_environment(database, stream)
    ) as process:
        await eventually(lambda: waits_for_a_lock(database))
        process.signal(signal.SIGINT)
        assert await process.end() == 130, process.output
    await transaction.rollback()
    await lock.close()

    assert process.err == [f"{sentence}\n"]


async def test_a_terminal_shows_a_bar_and_the_result(
    database: TestDatabase, stream: NatsServer
) -> None:
    await many_events(database, sessions=3)
    await database.execute("DELETE FROM outbox")

    environment = dict(relay_environment(database, stream))
    code, shown = await asyncio.to_thread(on_a_terminal, ["relay", "--audit"], environment)

    assert code == 1
    assert "audit of the events:   0%" in shown
    assert "\rlost: event " in shown
    assert "3 events and 0 messages were compared: 3 lost" in shown


def on_a_terminal(arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Runs a command whose outputs are a terminal; returns its exit code and what it showed."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    shown = b""
    with subprocess.Popen(
        [*SERVICE, *arguments],
        env=without_settings() | environment,
        stdout=its,
        stderr=its,
    ) as process:
        os.close(its)
        try:
            while part := os.read(ours, 10_000):
                shown += part
        except OSError:  # Linux, when the last process has closed it
            pass
        code = process.wait(60)
    os.close(ours)
    return code, shown.decode()
