# SPDX-License-Identifier: MIT
"""Shows the events of a running demo as a consumer gets them.

Starts a nats-server, the relay and the example of docs/examples beside the demo.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from service.bootstrap.migrations import migrate
from service.bootstrap.settings import DatabaseSettings, load
from service.dev import nats_server
from service.dev.children import Child, ChildEndedError, start
from service.dev.homes import EmbeddedPostgresError, actual_home, locked
from service.dev.logins import CONSUMER_ROLE, RELAY_ROLE, make_database, make_login
from service.dev.postgres import find_socket_dir, is_stopping, server_url
from service.dev.welcome import CHECKOUT

LOOK_SECONDS = 1
POLL_SECONDS = 0.05
ACTIVE = '"state": "active"'
CONSUMER = CHECKOUT / "docs" / "examples" / "consumer.py"

_WELCOME = """
  A consumer reads the events of the demo. Fail a session, or run `make try`, in another terminal.

  NATS       {nats}
  Example    docs/examples/consumer.py
  How to     docs/consumers.md
  Stop       Ctrl-C
"""


class NoDemoError(Exception):
    pass


def run(home: Path) -> int:
    """Prints events until Ctrl-C, SIGTERM or SIGHUP; returns the exit code."""
    try:
        socket_dir = _find_demo(home)
        place = actual_home(home) / "nats"
        place.mkdir(exist_ok=True)
        with locked(place, used_by="make consume"):
            _prepare(socket_dir)
            asyncio.run(_consume(home, place, socket_dir))
    except (NoDemoError, ChildEndedError, EmbeddedPostgresError) as exc:
        print(exc, file=sys.stderr)
        return 1
    print("\n  Stopped. The messages and the example's tables are kept.\n")
    return 0


def _find_demo(home: Path) -> Path:
    """The directory of the socket of its PostgreSQL. Raises NoDemoError."""
    data = actual_home(home) / "postgres"
    socket_dir = find_socket_dir(data)
    if socket_dir is None or is_stopping(data):
        raise NoDemoError(
            f"No demo uses the data in {home}. Start it in another terminal: make run"
        )
    return socket_dir


def _prepare(socket_dir: Path) -> None:
    """Makes a login for the relay; for the consumer, a login and a database that it owns."""
    settings = load(DatabaseSettings, database_url=SecretStr(server_url(socket_dir)))
    asyncio.run(_make_logins(settings))
    migrate(settings, grant_relay_to=RELAY_ROLE)


async def _make_logins(settings: DatabaseSettings) -> None:
    for name in (RELAY_ROLE, CONSUMER_ROLE):
        await make_login(settings, name)
    await make_database(settings, CONSUMER_ROLE)


async def _consume(home: Path, place: Path, socket_dir: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with nats_server.running(place) as nats, _relay(nats.url, socket_dir, place) as relay:
        await _wait_until_active(stop, relay)
        print(_WELCOME.format(nats=nats.url), flush=True)
        async with _consumer(nats.url, socket_dir) as consumer:
            await _wait(stop, home, [nats.child, relay, consumer])


async def _wait_until_active(stop: asyncio.Event, relay: Child) -> None:
    """Waits until the relay has made the stream."""
    while not stop.is_set() and ACTIVE not in relay.read_log():
        relay.require()
        await asyncio.sleep(POLL_SECONDS)


async def _wait(stop: asyncio.Event, home: Path, children: list[Child]) -> None:
    """Returns when it is told to stop. Raises ChildEndedError and NoDemoError."""
    while not stop.is_set():
        _find_demo(home)  # first, because the others may end for want of its database
        for child in children:
            child.require()
        try:
            await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        except TimeoutError:
            continue


@asynccontextmanager
async def _relay(nats_url: str, socket_dir: Path, place: Path) -> AsyncIterator[Child]:
    environment = _environment(
        SERVICE_DATABASE_URL=server_url(socket_dir, user=RELAY_ROLE), SERVICE_NATS_URL=nats_url
    )
    command = [sys.executable, "-m", "service", "relay", "--ensure-stream"]
    async with start("The relay", command, environment=environment, log=place / "relay.log") as it:
        yield it


@asynccontextmanager
async def _consumer(nats_url: str, socket_dir: Path) -> AsyncIterator[Child]:
    environment = _environment(
        CONSUMER_DATABASE_URL=server_url(socket_dir, CONSUMER_ROLE, CONSUMER_ROLE),
        CONSUMER_NATS_URL=nats_url,
    )
    async with start(
        "The consumer", [sys.executable, str(CONSUMER)], environment=environment
    ) as it:
        yield it


def _environment(**settings: str) -> Mapping[str, str]:
    """Without the settings of this shell, which belong to another service."""
    prefixes = ("SERVICE_", "CONSUMER_")
    others = {name: each for name, each in os.environ.items() if not name.startswith(prefixes)}
    return others | settings
