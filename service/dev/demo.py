"""Runs the whole service on one machine without setup: PostgreSQL, a user, a session."""

import asyncio
import logging
import os
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from uuid import UUID, uuid4

import uvicorn
from pydantic import SecretStr
from sqlalchemy import text
from uuid_utils.compat import uuid7

from service.application.commands import PlanSession
from service.bootstrap import logs
from service.bootstrap.api import compose_commands, compose_database, compose_engine, create_app
from service.bootstrap.migrations import create_unpooled_engine, migrate
from service.bootstrap.server import server_options
from service.bootstrap.settings import DatabaseSettings, Settings, load
from service.dev import postgres as embedded
from service.dev.tokens import mint

HOST = "127.0.0.1"
API_ROLE = "training_api"
DEFAULT_PORT = 8000
DEFAULT_URL = f"http://{HOST}:{DEFAULT_PORT}"
DEFAULT_HOME = Path(".data")
TOKEN_LIFETIME = timedelta(days=7)
GRACE_SECONDS = 2

WELCOME = """
  Training sessions is listening on {url}

  A session is in progress. Fail it:

{curl}

  It answers 200; the same call again answers 409. To see a whole life of sessions:

    {tour}

  Data    {data}
  Stop    Ctrl-C
"""

_MAKE_API_ROLE = text(f"""
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{API_ROLE}') THEN
            CREATE ROLE {API_ROLE} LOGIN;
        END IF;
    END $$
""")

CURL = """\
    curl -i -X POST {url}/sessions/{session_id}/fail \\
      -H 'Authorization: Bearer {token}' \\
      -H 'Content-Type: application/json' \\
      -d '{{"reason": "shoulder pain"}}'"""


class PortTakenError(Exception):
    pass


def run(home: Path, port: int) -> int:
    """Serves until Ctrl-C, SIGTERM or SIGHUP; returns the exit code."""
    signal.signal(signal.SIGTERM, _stop)
    # uvicorn shuts down gracefully on SIGTERM and does not handle SIGHUP.
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        with _listening(port) as listener, embedded.running(home) as server:
            _serve(listener, server, home)
    except (embedded.EmbeddedPostgresError, PortTakenError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    print("\n  Stopped. The data is kept.\n")
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    # With the protocol named, or asyncio leaves Nagle's algorithm on: 40 ms for each request.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()  # until then another process could bind to it as well
        except OSError as exc:
            raise PortTakenError(
                f"Port {port} cannot be used ({os.strerror(exc.errno or 0)})."
                f" Choose another: PORT={port + 1} make run"
            ) from None
        yield listener


def secret_file(home: Path) -> Path:
    """The file is kept with the data, so that tokens stay valid after a restart."""
    return home / "jwt-secret"


def _secret(home: Path) -> SecretStr:
    path = secret_file(home)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return SecretStr(path.read_text())


def _tour(url: str, home: Path) -> str:
    """The shortest command that starts the tour."""
    options = [] if url == DEFAULT_URL else ["--url", url]
    options += [] if home == DEFAULT_HOME else ["--data", str(home)]
    python = min(sys.executable, os.path.relpath(sys.executable), key=len)
    return shlex.join([python, "-m", "service", "try", *options])


def _serve(listener: socket.socket, server: embedded.Server, home: Path) -> None:
    secret = _secret(server.data.parent)
    user_id = uuid4()
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    settings = load(Settings, database_url=SecretStr(server.url(user=API_ROLE)), jwt_secret=secret)
    _migrate(server.url())
    session_id = asyncio.run(_start_session(settings, user_id))
    curl = CURL.format(
        url=url, session_id=session_id, token=mint(settings, user_id, lifetime=TOKEN_LIFETIME)
    )
    tour = _tour(url, home)
    welcome = WELCOME.format(url=url, curl=curl, tour=tour, data=server.data)
    logs.configure("info", for_people=True)
    options = server_options(settings) | {"timeout_graceful_shutdown": GRACE_SECONDS}
    config = uvicorn.Config(create_app(settings), **options)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    _Announcing(config, welcome).run([listener])


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, welcome: str) -> None:
        super().__init__(config)
        self._welcome = welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._welcome, flush=True)


def _migrate(url: str) -> None:
    settings = load(DatabaseSettings, database_url=SecretStr(url))
    asyncio.run(_make_api_role(settings))
    migrate(settings, grant_to=API_ROLE)


async def _make_api_role(settings: DatabaseSettings) -> None:
    async with create_unpooled_engine(settings).begin() as connection:
        await connection.execute(_MAKE_API_ROLE)


async def _start_session(settings: Settings, user_id: UUID) -> UUID:
    """Executes the same command as the API, so that the session's history is complete."""
    command = PlanSession(
        user_id=user_id, session_id=uuid7(), request_id="demo", sets=(12, 10, None), start_now=True
    )
    engine = compose_engine(settings)
    try:
        commands = compose_commands(settings, compose_database(settings, engine))
        outcome = await commands.execute(command)
        await commands.close()
    finally:
        await engine.dispose()
    return outcome.session.id
