# SPDX-License-Identifier: MIT
"""Runs the whole service on one machine without setup: PostgreSQL, a user, a session."""

import asyncio
import io
import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import uvicorn
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from service.application.commands import PlanSession
from service.bootstrap import logs
from service.bootstrap.api import compose_commands, compose_database, compose_engine, create_app
from service.bootstrap.api_metrics import served
from service.bootstrap.metrics import CannotListen
from service.bootstrap.migrations import migrate
from service.bootstrap.observers import Served
from service.bootstrap.server import server_options
from service.bootstrap.settings import DatabaseSettings, Settings, load
from service.dev import postgres as embedded
from service.dev.homes import EmbeddedPostgresError
from service.dev.logins import API_ROLE, make_login
from service.dev.page import add_page
from service.dev.stopping import StopRequest, StopRequestedError
from service.dev.tokens import mint
from service.dev.welcome import DEFAULT_PORT, HOST, METRICS_PORT, render_welcome
from service.urls import PORT_MAX

HOSTS = (HOST, "localhost")
UNPRIVILEGED_PORT = 1024
TOKEN_LIFETIME = timedelta(days=7)
GRACE_SECONDS = 2
SECRET_LENGTH = 64


class PortTakenError(Exception):
    pass


def run(home: Path, port: int) -> int:
    """Serves until Ctrl-C, SIGTERM or SIGHUP; returns the exit code."""
    stop = StopRequest()
    stop.listen()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal knows the character …
    try:
        with _listening(port) as listener, embedded.running(home, check=stop.check) as server:
            _serve(listener, server, home, stop)
    except (EmbeddedPostgresError, PortTakenError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except StopRequestedError:
        pass
    print("\n  Stopped. The data is kept.\n")
    return 0


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
                f" Choose another: PORT={usable_port(port)} make run"
            ) from None
        yield listener


def usable_port(unusable: int) -> int:
    """The next port that can be used; ports below 1024 are often forbidden."""
    first = unusable + 1 if unusable >= UNPRIVILEGED_PORT else DEFAULT_PORT
    for port in (*range(first, PORT_MAX + 1), 0):
        with socket.socket() as candidate, suppress(OSError):
            candidate.bind((HOST, port))
            chosen: int = candidate.getsockname()[1]
            return chosen
    return DEFAULT_PORT


def secret_file(home: Path) -> Path:
    """The file is kept with the data, so that tokens stay valid after a restart."""
    return home / "jwt-secret"


def _secret(home: Path) -> SecretStr:
    path = secret_file(home)
    if not path.exists() or path.stat().st_size < SECRET_LENGTH:  # an earlier start broke off
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(SECRET_LENGTH // 2))
    return SecretStr(path.read_text())


def _serve(listener: socket.socket, server: embedded.Server, home: Path, stop: StopRequest) -> None:
    port = listener.getsockname()[1]
    secret = _secret(server.data.parent)
    user_id = uuid4()
    settings = load(
        Settings,
        database_url=SecretStr(server.url(user=API_ROLE)),
        jwt_secret=secret,
        jwks_url=None,
        docs=True,
    )
    _migrate(server.url())
    stop.check()
    session_id = asyncio.run(_start_session(settings, user_id))
    stop.check()
    token = mint(settings, user_id, lifetime=TOKEN_LIFETIME)
    options = server_options(settings) | {"timeout_graceful_shutdown": GRACE_SECONDS}
    logs.configure("warning", for_people=True)  # the welcome names the port of the metrics
    with _served(settings) as (observers, metrics):
        logs.configure("info", for_people=True)
        app = create_app(settings, observers=observers)
        root_path = settings.root_path or ""
        add_page(app, root_path=root_path, hosts=HOSTS, token=token, session_id=session_id)
        config = uvicorn.Config(app, **options)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        welcome = render_welcome(
            port, session_id, token, home=home, data=server.data, metrics=f"{metrics}/metrics"
        )
        _DemoServer(config, welcome, stop).run([listener])


@contextmanager
def _served(settings: Settings) -> Iterator[Served]:
    """The metrics, on the usual port, or on a free one if another process has that."""
    usual = {"metrics_port": settings.metrics_port or METRICS_PORT, "metrics_host": HOST}
    with ExitStack() as stack:
        try:
            found = stack.enter_context(served(settings.model_copy(update=usual)))
        except CannotListen:
            free = usual | {"metrics_port": 0}
            found = stack.enter_context(served(settings.model_copy(update=free)))
        yield found


class _DemoServer(uvicorn.Server):
    """Prints the welcome when it has started, and stops in the same way however often it is told.

    uvicorn's own handler would leave out the shutdown of the app on a second Ctrl-C.
    """

    def __init__(self, config: uvicorn.Config, welcome: str, stop: StopRequest) -> None:
        super().__init__(config)
        self._welcome = welcome
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._stop.is_made:  # before uvicorn's handler was there
            self.should_exit = True
        if not self.should_exit:
            print(self._welcome, flush=True)

    def handle_exit(self, *_: object) -> None:
        self.should_exit = True


def _migrate(url: str) -> None:
    settings = load(DatabaseSettings, database_url=SecretStr(url))
    asyncio.run(make_login(settings, API_ROLE))
    migrate(settings, grant_to=API_ROLE)


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
