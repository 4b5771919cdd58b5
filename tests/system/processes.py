# SPDX-License-Identifier: MIT
"""Runs commands of the service as processes, and reads their output."""

import asyncio
import os
import re
import secrets
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import psutil

from tests.builders import SECRET
from tests.conformance import HELD
from tests.leaks import look
from tests.running import NO_AUTHORITIES, App, eventually

ROOT = Path(__file__).parents[2]
SERVICE = (sys.executable, "-m", "service")
LEAN = {
    "PYTHONPATH": str(Path(__file__).with_name("not_installed")),
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # it would look for them in every installed package
}
"""The environment of `SERVICE`: it finds no tools of the tests, and starts 0.2 s sooner."""

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
ROOM_BYTES = 4 * 1024**3
PATIENCE_SECONDS = 120
"""Time limit for what takes a moment: it passes only on a machine that hangs."""

LONG_TIME_LIMITS = {
    "command_timeout_seconds": "60",
    "database_lock_timeout_seconds": "60",
    "database_statement_timeout_seconds": "70",
    "database_idle_in_transaction_timeout_seconds": "80",
}
"""Settings with which a command waits for a lock until the test releases it."""

GIVEN: set[int] = set()
"""The ports that `free_port` has returned."""


LOGGING = {"serve", "relay", "migrate", "check"}
"""Commands whose output is a log; others, such as `demo`, show tokens and answers to a person."""


@dataclass
class Process:
    """`out` and `err`: the lines that it has printed so far. `logs`: they are a log."""

    running: asyncio.subprocess.Process
    logs: bool = False
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    _readers: list[asyncio.Task[None]] = field(default_factory=list)
    _printed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def output(self) -> str:
        return "".join(self.out + self.err)

    def signal(self, number: signal.Signals) -> None:
        """Nothing if it has ended. Before CPython 3.13, asyncio's own could lose the exit code."""
        if self.running.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.running.pid, number)

    async def line(self, words: str, *, count: int = 1) -> str:
        """Waits until `count` lines contain these words; returns the last of them."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._printed:
            await self._printed.wait_for(lambda: len(self._with(words)) >= count or self.is_silent)
        found = self._with(words)
        assert len(found) >= count, self.output
        return found[count - 1]

    async def end(self) -> int:
        """Waits until it and all processes that it started have ended; returns its exit code."""
        await asyncio.wait(self._readers, timeout=PATIENCE_SECONDS)
        assert self.is_silent, self.output
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.running.wait()

    @property
    def is_silent(self) -> bool:
        """True if every process that could print has ended."""
        return all(reader.done() for reader in self._readers)

    def follow(self, stream: asyncio.StreamReader | None, lines: list[str]) -> None:
        assert stream
        reader = asyncio.create_task(self._read(stream, lines))
        self._readers.append(reader)
        reader.add_done_callback(lambda _: asyncio.create_task(self._notify()))

    def _with(self, words: str) -> list[str]:
        return [line for line in self.out + self.err if words in line]

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        async for line in stream:
            lines.append(line.decode())
            if self.logs:
                look(lines[-1])
            await self._notify()

    async def _notify(self) -> None:
        async with self._printed:
            self._printed.notify_all()


@asynccontextmanager
async def started(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = SERVICE,
    place: Path = ROOT,
    user: int | None = None,
) -> AsyncIterator[Process]:
    """Runs a command, and kills it and its workers at the end of the block.

    `place`: its working directory. `user`: root only; it then has no group but the one of this
    number.
    """
    running = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        env=without_settings() | (LEAN if command == SERVICE else {}) | dict(environment or {}),
        cwd=place,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    process = Process(running, logs=not LOGGING.isdisjoint(arguments))
    process.follow(running.stdout, process.out)
    process.follow(running.stderr, process.err)
    try:
        yield process
    finally:
        if not process.is_silent:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
        await process.end()


@dataclass
class Finished:
    code: int
    out: str
    err: str


async def finished(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = SERVICE,
) -> Finished:
    async with started(*arguments, environment=environment, command=command) as process:
        code = await process.end()
        return Finished(code, "".join(process.out), "".join(process.err))


def without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}


def serve_environment(database_url: str, **settings: str) -> dict[str, str]:
    """The environment of `serve`, with a SERVICE_SOME_SETTING for each keyword `some_setting`."""
    facts = {"database_url": database_url, "jwt_secret": SECRET, "port": "0"}
    facts |= {"log_level": "debug"} | settings
    return {f"SERVICE_{name}".upper(): value for name, value in facts.items()}


@asynccontextmanager
async def a_service(database_url: str, **settings: str) -> AsyncIterator[tuple[Process, App]]:
    """Runs `serve` on a free port, with a client; all its workers have started."""
    environment = serve_environment(database_url, **settings)
    async with started("serve", environment=environment) as process:
        url = await listening_url(process, workers=int(settings.get("workers", 1)))
        async with httpx2.AsyncClient(
            base_url=url,
            timeout=PATIENCE_SECONDS,
            limits=httpx2.Limits(max_connections=None),
            verify=NO_AUTHORITIES,
            event_hooks=HELD,
        ) as client:
            yield process, App(url, client)


async def listening_url(process: Process, *, workers: int = 1) -> str:
    """Waits for all workers: one that is being started is not yet named so, nor handles signals."""
    url = url_in(await process.line("Uvicorn running on"))
    await process.line("Application startup complete", count=workers)
    await eventually(lambda: _accepts(url))
    return url


async def _accepts(url: str) -> bool:
    place = urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(place.hostname, place.port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def half_a_request(service: str, token: str) -> AsyncIterator[None]:
    """Sends a request whose body never ends, once the service has begun to read it."""
    url = urlsplit(service)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = [
        f"POST /sessions/{uuid4()}/fail HTTP/1.1",
        "Host: gym",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        "Content-Length: 100",
        "Expect: 100-continue",
    ]
    writer.write("\r\n".join([*head, "", '{"reason":']).encode())
    assert b"100 Continue" in await reader.readline()
    try:
        yield
    finally:
        writer.close()


def is_running(pid: int) -> bool:
    """False also for a zombie: in a container, no process may wait for it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def url_in(text: str) -> str:
    found = re.search(r"http://(?:[\w.]+|\[[\w.:]+\]):\d+", text)
    assert found, text
    return found[0]


@contextmanager
def a_public_directory(*, on_disk: bool = False) -> Iterator[Path]:
    """A directory that the user `nobody` can enter: PostgreSQL runs as `nobody` under root."""
    with tempfile.TemporaryDirectory(prefix="gym-", dir=None if on_disk else in_memory()) as place:
        Path(place).chmod(0o755)
        yield Path(place)


def in_memory() -> Path | None:
    """A directory in memory with room for servers, if this machine has one.

    A database has 300 files: on a shared disk, a new one takes ten times as long.
    """
    place = Path("/dev/shm")  # noqa: S108  what is made there has a random name
    if not os.access(place, os.W_OK):
        return None
    facts = os.statvfs(place)
    runs_programs = not facts.f_flag & os.ST_NOEXEC
    return place if runs_programs and facts.f_bavail * facts.f_frsize > ROOM_BYTES else None


def free_port() -> int:
    """A free port that no outgoing connection takes by chance before it is used.

    Each worker of the suite takes its ports from another range, and none twice: the first user may
    not listen yet, or be between a stop and a start.
    """
    ports = set(range(20_000 + WORKER, 32_768, WORKERS)) - GIVEN
    while True:
        port = secrets.choice(list(ports))
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            GIVEN.add(port)
            return port
