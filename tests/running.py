# SPDX-License-Identifier: MIT
"""Real servers for tests: databases, and the app behind a real HTTP server."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid4

import asyncpg
import httpx2
import uvicorn
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp

from service.bootstrap.api import create_app
from service.bootstrap.migrations import migrate
from service.bootstrap.server import server_options
from service.bootstrap.settings import DatabaseSettings, Settings
from service.domain.session import Session
from service.persistence.engine import create_engine
from service.persistence.tables import sessions as sessions_table
from tests.builders import SECRET, a_session, a_token, bearer
from tests.conformance import describing
from tests.leaks import never_logged

TRIES = 6000
"""A minute and more: on a starved machine, what takes a moment may take ten seconds."""

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: each of them would read those of the system, for 40 ms."""


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server, given by the URL of a superuser."""

    admin_url: str
    api_role: str = "training_api_of_tests"
    relay_role: str = "training_relay_of_tests"
    eraser_role: str = "training_eraser_of_tests"
    password: str = never_logged("warm up first")

    def url(self, database: str) -> str:
        return urlsplit(self.admin_url)._replace(path=f"/{database}").geturl()

    def login_url(self, login: str, database: str) -> str:
        """The URL of a login that has the password of the tests."""
        url = urlsplit(self.url(database))
        place = url.netloc.rpartition("@")[2]
        return url._replace(netloc=f"{quote(login)}:{quote(self.password)}@{place}").geturl()

    def settings(self, database: str) -> DatabaseSettings:
        return DatabaseSettings(database_url=SecretStr(self.url(database)))

    async def execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def create_database(self, name: str, template: str = "template0") -> None:
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

    async def drop_database(self, name: str) -> None:
        await self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def make_logins(self) -> None:
        for login in (self.api_role, self.relay_role, self.eraser_role):
            await self.execute(
                f"DROP ROLE IF EXISTS {login}",
                f"CREATE ROLE {login} LOGIN PASSWORD '{self.password}'",
            )

    def migrate(self, database: str) -> None:
        """Must not be called from a running event loop."""
        migrate(
            self.settings(database),
            grant_to=self.api_role,
            grant_relay_to=self.relay_role,
            grant_eraser_to=self.eraser_role,
        )


@dataclass
class TestDatabase:
    __test__ = False

    cluster: Cluster
    name: str
    connection: asyncpg.Connection

    @property
    def url(self) -> str:
        return self.cluster.url(self.name)

    @property
    def api_url(self) -> str:
        return self.cluster.login_url(self.cluster.api_role, self.name)

    @property
    def relay_url(self) -> str:
        return self.cluster.login_url(self.cluster.relay_role, self.name)

    @property
    def eraser_url(self) -> str:
        return self.cluster.login_url(self.cluster.eraser_role, self.name)

    @property
    def settings(self) -> DatabaseSettings:
        return self.cluster.settings(self.name)

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.connection.fetch(query, *arguments)]

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self.connection.fetchval(query, *arguments)

    async def execute(self, statement: str, *arguments: Any) -> None:
        await self.connection.execute(statement, *arguments)

    async def insert(self, *sessions: Session) -> None:
        columns = [column.name for column in sessions_table.columns]
        rows = [[getattr(session, column) for column in columns] for session in sessions]
        places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        await self.connection.executemany(
            f"INSERT INTO sessions ({', '.join(columns)}) VALUES ({places})", rows
        )

    async def a_session(self, **overrides: Any) -> Session:
        session = a_session(**overrides)
        await self.insert(session)
        return session

    async def row(self, session: Session) -> dict[str, Any]:
        query = "SELECT * FROM sessions WHERE user_id = $1 AND id = $2"
        [row] = await self.fetch(query, session.user_id, session.id)
        return row

    async def events(self, session: Session | None = None) -> list[dict[str, Any]]:
        query = "SELECT *, event_data::jsonb FROM events WHERE $1::uuid IS NULL OR session_id = $1"
        return await self.fetch(query + " ORDER BY id", session.id if session else None)

    async def outbox(self) -> list[UUID]:
        return [
            row["event_id"] for row in await self.fetch("SELECT * FROM outbox ORDER BY position")
        ]

    async def connect(self) -> asyncpg.Connection:
        return await connect_to(self.url)


@asynccontextmanager
async def a_connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_to(url)
    try:
        yield connection
    finally:
        await connection.close()


async def connect_to(url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    await connection.set_type_codec(
        "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
    )
    return connection


@contextmanager
def a_template(cluster: Cluster) -> Iterator[str]:
    """The name of a migrated database, for `a_database` to clone."""
    name = f"template_{uuid4().hex}"
    asyncio.run(cluster.create_database(name))
    cluster.migrate(name)
    yield name
    asyncio.run(cluster.drop_database(name))


async def new_database(cluster: Cluster, template: str) -> str:
    """The name of a database that is cloned from the template."""
    name = f"test_{uuid4().hex}"
    await cluster.create_database(name, template)
    return name


@asynccontextmanager
async def a_database(cluster: Cluster, *, template: str) -> AsyncIterator[TestDatabase]:
    name = await new_database(cluster, template)
    connection = await connect_to(cluster.url(name))
    try:
        yield TestDatabase(cluster, name, connection)
    finally:
        await connection.close()
        await cluster.drop_database(name)


def test_settings(**overrides: Any) -> Settings:
    return Settings(**{"jwt_secret": SECRET} | overrides)


test_settings.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


class _Server(uvicorn.Server):
    """Sets `listening` when it has started, and leaves the signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Ends at once, where uvicorn would look every 0.1 s whether it should."""
        loop = asyncio.create_task(super().main_loop())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({loop, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for each in (loop, stopping):
            each.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serving(
    app: ASGIApp, settings: Settings, *, send_buffer_bytes: int | None = None
) -> AsyncIterator[str]:
    """The URL at which this app is served as `serve` would serve it."""
    # With the protocol named, or asyncio leaves Nagle's algorithm on: 40 ms for each request.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        if send_buffer_bytes:  # connections inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        server = _Server(uvicorn.Config(app, **server_options(settings)))
        serving = asyncio.create_task(server.serve([listener]))
        started = asyncio.create_task(server.listening.wait())
        await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        assert server.started
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            await serving


@dataclass
class App:
    """The app that ships, listening at `url`, and a client for it."""

    url: str
    client: httpx2.AsyncClient = field(repr=False)

    async def fail(
        self,
        session: Session,
        *,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx2.Response:
        """As the session's owner; `json` or `content` exchange the body."""
        if reason is not None:
            options["json"] = {"reason": reason}
        path = f"/sessions/{session.id}/fail"
        return await self.call(session.user_id, "POST", path, headers=headers, **options)

    async def get(self, session: Session, headers: dict[str, str] | None = None) -> httpx2.Response:
        return await self.call(session.user_id, "GET", f"/sessions/{session.id}", headers=headers)

    async def call(
        self,
        user_id: UUID,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx2.Response:
        return await self.client.request(
            method, path, headers=bearer(a_token(user_id)) | (headers or {}), **options
        )


@asynccontextmanager
async def running_app(settings: Settings, **parts: Any) -> AsyncIterator[App]:
    async with (
        serving(describing(create_app(settings, **parts), settings.root_path), settings) as url,
        httpx2.AsyncClient(base_url=url, timeout=60, verify=NO_AUTHORITIES) as client,
    ):
        yield App(url, client)


@asynccontextmanager
async def an_engine(
    url: str,
    size: int = 2,
    statements: list[str] | None = None,
    *,
    connect_timeout: float = 5,
    **options: Any,
) -> AsyncIterator[AsyncEngine]:
    """As the service makes it; every statement that it sends is appended to `statements`."""
    engine = create_engine(url, connect_timeout=connect_timeout, pool_size=size, **options)
    if statements is not None:
        _record(engine, statements)
    try:
        yield engine
    finally:
        await engine.dispose()


def _record(engine: AsyncEngine, statements: list[str]) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def watch(connection: Any, _record: object) -> None:
        """Records BEGIN, COMMIT and ROLLBACK, which the driver sends by itself."""
        connection.driver_connection.add_query_logger(
            lambda record: statements.append(record.query)
        )

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_rest: object) -> None:
        statements.append(statement)


async def eventually(condition: Callable[[], Any], *, tries: int = TRIES) -> None:
    """Waits until the condition is true, which another process or task must bring about."""
    for _ in range(tries):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came about")
