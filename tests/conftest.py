# SPDX-License-Identifier: MIT
"""Fixtures: one server per worker, a database for each test, and the app that ships."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast

import pytest
import structlog
import uvloop
from hypothesis import settings as hypothesis_settings

from service.bootstrap import logs
from service.dev import postgres as embedded
from service.dev.direct_connections import connect_directly
from tests import leaks, optional_programs, previous_version
from tests.conformance import assert_all_conform
from tests.guardian import guard_this_run
from tests.logins import Gate, a_gate
from tests.reused import a_reused_database, drop_reused_databases
from tests.running import (
    App,
    Cluster,
    TestDatabase,
    a_database,
    a_template,
    running_app,
    test_settings,
)
from tests.simulated_time import SimulatedTimeLoop
from tests.system.processes import a_public_directory

guard_this_run()
# A shell starts background jobs with SIGINT ignored, and nohup its command with SIGHUP ignored;
# processes that the tests start would ignore them, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
connect_directly()
hypothesis_settings.register_profile("tests", derandomize=True, deadline=None, database=None)
hypothesis_settings.load_profile("tests")
LOG_LEVEL = "debug"


def configure_logs() -> None:
    with redirect_stdout(cast("TextIO", leaks.Watched(sys.stdout))):
        logs.configure(LOG_LEVEL)


configure_logs()

TEST_DATABASE_URL = "SERVICE_TEST_DATABASE_URL"
WORKERS_MAX = 4
TESTS = Path(__file__).parent
SLOW = {
    TESTS / "browser",
    TESTS / "documents",
    TESTS / "faults",
    TESTS / "haproxy",
    TESTS / "observability",
    TESTS / "prometheus",
    TESTS / "system",
    TESTS / "tracing",
}
"""Directories whose tests start whole systems, as processes. `make test` leaves them out."""

SLOW_FIXTURES = {"a_consumer", "a_relay", "brokers", "webhooks"}
"""They start programs as processes, each of which takes a second of a processor: slow, too."""

OPTIONS = {
    "autovacuum": "off",  # what it changes and when, a test cannot know
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "max_wal_size": "256MB",  # it may be in memory
}

StartApp = Callable[..., Any]

PATIENT = {"command_timeout_seconds": 60, "database_pool_timeout_seconds": 60}
"""For machines on which fifty commands at once may take longer than the defaults."""


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than processors, because a test waits most of its time.

    No workers if a server is given: roles belong to the whole server, and tests change them.
    """
    return 0 if os.environ.get(TEST_DATABASE_URL) else min((os.cpu_count() or 1) + 1, WORKERS_MAX)


def pytest_configure() -> None:
    optional_programs.check_required()
    assert all(map(Path.is_dir, SLOW)), "a directory of slow tests has another name"


def pytest_itemcollected(item: pytest.Item) -> None:
    fixtures = getattr(item, "fixturenames", ())
    if not SLOW.isdisjoint(item.path.parents) or not SLOW_FIXTURES.isdisjoint(fixtures):
        item.add_marker("slow")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return optional_programs.is_left_out(collection_path) or None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for program in optional_programs.missing():
        terminalreporter.write_line(program.advice, yellow=True)
    if previous_version.revision() is None:
        terminalreporter.write_line(previous_version.ADVICE, yellow=True)


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("simulated_time"):
        return {"simulated": SimulatedTimeLoop}
    if item.get_closest_marker("both_loops"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def _every_answer_is_as_described() -> Iterator[None]:
    yield
    assert_all_conform()


@pytest.fixture(autouse=True)
def _no_secret_is_logged() -> Iterator[None]:
    yield
    leaks.assert_none()


@pytest.fixture(autouse=True)
def _logging_is_as_before() -> Iterator[None]:
    """Else a later test would capture no logs: see `logs_configured_again`."""
    before = structlog.get_config()["processors"]
    yield
    assert structlog.get_config()["processors"] is before, "needs logs_configured_again"
    assert not logging.getLogger("uvicorn").handlers, "uvicorn.Config needs log_config=None"


@pytest.fixture
def logs_configured_again(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Restores the logging after a test that redirected it to its captured output.

    Loggers keep the list of processors that they were first used with, and `capture_logs` changes
    the list of the configuration: it must be the same list again.
    """
    before = structlog.get_config()
    yield
    with capsys.disabled():
        configure_logs()
        structlog.configure(**before)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server that SERVICE_TEST_DATABASE_URL names, or an embedded one."""
    given = os.environ.get(TEST_DATABASE_URL)
    with ExitStack() as stack:
        if not given:
            home = stack.enter_context(a_public_directory())
            server = stack.enter_context(embedded.running(home / "server", OPTIONS))
        cluster = Cluster(given or server.url())
        asyncio.run(cluster.make_logins())
        yield cluster
        asyncio.run(drop_reused_databases(cluster))


@pytest.fixture(scope="session")
def gate() -> Iterator[Gate]:
    """A server that demands passwords, and refuses some logins."""
    with a_gate() as gate:
        yield gate


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> Iterator[str]:
    """The name of a migrated database, for tests to clone."""
    with a_template(cluster) as name:
        yield name


@pytest.fixture
async def database(cluster: Cluster, template: str) -> AsyncIterator[TestDatabase]:
    async with a_reused_database(cluster, template=template) as database:
        yield database


@pytest.fixture
async def empty_database(cluster: Cluster) -> AsyncIterator[TestDatabase]:
    async with a_database(cluster, template="template0") as database:
        yield database


@pytest.fixture
async def start_app(database: TestDatabase) -> AsyncIterator[StartApp]:
    """Starts the app on a port of its own, patient, with settings overridden by keyword."""
    async with AsyncExitStack() as stack:

        async def start(**overrides: Any) -> App:
            settings = test_settings(**{"database_url": database.api_url} | PATIENT | overrides)
            return await stack.enter_async_context(running_app(settings))

        yield start


@pytest.fixture
async def app(start_app: StartApp) -> App:
    app: App = await start_app()
    return app
