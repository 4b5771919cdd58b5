"""The whole service on one machine, with nothing to set up: PostgreSQL, a user, a session."""

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
from sqlalchemy import insert, text
from uuid_utils.compat import uuid7

from service.bootstrap import logs
from service.bootstrap.api import create_app
from service.bootstrap.clock import now
from service.bootstrap.migrations import migrate
from service.bootstrap.settings import DatabaseSettings, Settings, load
from service.dev import postgres as embedded
from service.dev.tokens import mint
from service.domain.session import SessionStatus
from service.persistence.engine import create_engine
from service.persistence.tables import sessions

HOST = "127.0.0.1"
API_ROLE = "training_api"
DEFAULT_PORT = 8000
DEFAULT_URL = f"http://{HOST}:{DEFAULT_PORT}"
DEFAULT_HOME = Path(".data")
TOKEN_LIFETIME = timedelta(days=7)
GRACE_SECONDS = 2

WELCOME = """
  Training sessions is listening on {url}

  A training is in progress. Interrupt it:

{curl}

  It answers 200, and 409 when you repeat it. Or have a whole life played:

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
    """Serves until it is told to stop; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with _listening(port) as listener, embedded.running(home) as server:
            _serve(listener, server, home)
    except (embedded.EmbeddedPostgresError, PortTakenError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    print("\n  Stopped; the data are kept.\n")
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
                f" Name another: PORT={port + 1} make run"
            ) from None
        yield listener


def secret_of(home: Path) -> Path:
    """Kept with the data, so that a token goes on working after a restart."""
    return home / "jwt-secret"


def _secret(home: Path) -> SecretStr:
    path = secret_of(home)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return SecretStr(path.read_text())


def _tour(url: str, home: Path) -> str:
    """The command that plays a whole life, as short as it can be."""
    options = [] if url == DEFAULT_URL else ["--url", url]
    options += [] if home == DEFAULT_HOME else ["--data", str(home)]
    python = min(sys.executable, os.path.relpath(sys.executable), key=len)
    return shlex.join([python, "-m", "service", "try", *options])


def _serve(listener: socket.socket, server: embedded.Server, home: Path) -> None:
    secret = _secret(server.data.parent)
    user_id = uuid4()
    session_id = asyncio.run(_prepare(server.url(), user_id))
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    settings = load(Settings, database_url=SecretStr(server.url(user=API_ROLE)), jwt_secret=secret)
    curl = CURL.format(
        url=url, session_id=session_id, token=mint(settings, user_id, lifetime=TOKEN_LIFETIME)
    )
    tour = _tour(url, home)
    welcome = WELCOME.format(url=url, curl=curl, tour=tour, data=server.data)
    logs.configure("info", for_people=True)
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    _Announcing(config, welcome).run([listener])


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, welcome: str) -> None:
        super().__init__(config)
        self._welcome = welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._welcome, flush=True)


async def _prepare(url: str, user_id: UUID) -> UUID:
    """Brings the schema to head, and puts a training of this user in progress."""
    settings = load(DatabaseSettings, database_url=SecretStr(url))
    engine = create_engine(url, connect_timeout=settings.database_connect_timeout_seconds)
    async with engine.begin() as connection:
        await connection.execute(_MAKE_API_ROLE)
    await asyncio.to_thread(migrate, settings, grant_to=API_ROLE)
    session_id, moment = uuid7(), now()
    async with engine.begin() as connection:
        await connection.execute(
            insert(sessions).values(
                user_id=user_id,
                id=session_id,
                status=SessionStatus.IN_PROGRESS,
                session_date=moment,
                sets=[12, 10, None],
                version=1,
                created_at=moment,
                updated_at=moment,
            )
        )
    await engine.dispose()
    return session_id
