# SPDX-License-Identifier: MIT
"""A pytest plugin for `make mutants`: the tests of the API with a database in memory.

The mutation tester runs each test hundreds of times, too often for a real PostgreSQL and a real
socket. This plugin exchanges them, and nothing else of the app that ships. A test that needs SQL
or a socket is skipped here; `make test` runs all of them for real.
"""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
import structlog
from hypothesis import settings as hypothesis_settings
from starlette.types import Receive, Scope, Send
from uuid_utils.compat import uuid7

from service.application.group_commit.group_commit import GroupCommit
from service.application.ports import ReadinessReport
from service.application.queries import Queries
from service.bootstrap.api import compose_limits, create_app
from service.bootstrap.clock import now
from service.bootstrap.settings import Settings
from service.domain.session import Session, SessionStatus
from service.persistence.checks import OK
from service.persistence.events import append_parameters
from tests import reused, running
from tests.builders import a_session
from tests.running import App, Cluster
from tests.unit.in_memory import InMemoryDatabase

HOST = "127.0.0.1:1"
"""A port on which no database listens."""
os.environ["SERVICE_TEST_DATABASE_URL"] = f"postgresql://{HOST}/none"
TEMPLATE = "migrated"

databases: dict[str, "InMemoryTestDatabase"] = {}


@dataclass
class InMemoryTestDatabase:
    """What tests of the API use of `TestDatabase`."""

    cluster: Cluster
    name: str
    stored: InMemoryDatabase = field(default_factory=InMemoryDatabase)

    @property
    def url(self) -> str:
        return f"postgresql://{HOST}/{self.name}"

    api_url = url

    async def insert(self, *sessions: Session) -> None:
        for session in sessions:
            status = SessionStatus(session.status)
            self.stored.sessions[session.user_id, session.id] = replace(session, status=status)

    async def a_session(self, **overrides: Any) -> Session:
        session = a_session(**overrides)
        await self.insert(session)
        return session

    async def row(self, session: Session) -> dict[str, Any]:
        row = asdict(self.stored.sessions[session.user_id, session.id])
        return row | {"sets": list(row["sets"])}

    async def events(self, session: Session | None = None) -> list[dict[str, Any]]:
        """The rows that would be written."""
        given = append_parameters(self.stored.applied) if self.stored.applied else {}
        names = [each.removeprefix("appended_") for each in given]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*given.values(), strict=True)]
        for row, (_, event) in zip(rows, _events(self.stored), strict=True):
            row["event_data"] = event.data()
        found = [row for row in rows if session is None or row["session_id"] == session.id]
        return sorted(found, key=lambda row: row["id"])

    async def outbox(self) -> list[UUID]:
        return [event_id for event_id, _ in _events(self.stored)]

    def __getattr__(self, name: str) -> Any:
        pytest.skip(f"needs {name} of a real database")


def _events(database: InMemoryDatabase) -> list[tuple[UUID, Any]]:
    return [event for each in database.applied for event in each.events]


@asynccontextmanager
async def a_database(cluster: Cluster, *, template: str) -> AsyncIterator[InMemoryTestDatabase]:
    if template != TEMPLATE:
        pytest.skip("needs a database without migrations")
    name = f"{template}_{uuid7().hex}"
    databases[name] = InMemoryTestDatabase(cluster, name)
    try:
        yield databases[name]
    finally:
        del databases[name]


@contextmanager
def a_template(cluster: Cluster) -> Iterator[str]:
    yield TEMPLATE


async def make_logins(_self: Cluster) -> None:
    pass


@asynccontextmanager
async def running_app(settings: Settings, **parts: Any) -> AsyncIterator[App]:
    """The app that ships, without sockets, over the database that the settings name."""
    app = create_app(settings, **parts)
    async with app.router.lifespan_context(app) as resources:
        state = {**(resources or {}), **_over_memory(settings, **parts)}

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx2.ASGITransport(app=with_state, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            yield App(f"http://{HOST}", client)


def _over_memory(settings: Settings, **parts: Any) -> dict[str, Any]:
    name = settings.database_url.get_secret_value().rpartition("/")[2]
    if name not in databases:
        return {}
    database, limits = databases[name].stored, compose_limits(settings)
    run = database.run_unit_of_work
    commands = GroupCommit(run, parts.get("clock", now), parts.get("new_id", uuid7), limits)
    return {
        "commands": commands,
        "queries": Queries(database.run_read, limits),
        "check_readiness": _ready,
    }


async def _ready() -> ReadinessReport:
    checks = ("database", "pooler", "role", "policies", "schema", "reads", "writes")
    return ReadinessReport(dict.fromkeys(checks, OK), is_ready=True)


def pytest_configure() -> None:
    """Runs for each of several sessions in one process; the output of an earlier one is closed."""
    parent = hypothesis_settings.get_profile("tests")
    hypothesis_settings.register_profile("mutants", parent, max_examples=25)
    hypothesis_settings.load_profile("mutants")
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Lets a test of the API judge the HTTP layer alone: the unit tests are faster for the rest."""
    mutmut: Any = sys.modules.get("mutmut.state")
    if mutmut and "tests/http/" in item.nodeid:
        reached: set[str] = mutmut.state()._stats  # noqa: SLF001  there is no public way
        reached -= {name for name in reached if not name.startswith("service.http.")}


running.a_database = a_database  # type: ignore[assignment]  # has what tests of the API use
reused.a_reused_database = a_database  # type: ignore[assignment]  # the same
running.a_template = a_template
running.running_app = running_app
Cluster.make_logins = make_logins  # type: ignore[assignment, method-assign]
