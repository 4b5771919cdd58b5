# SPDX-License-Identifier: MIT
"""Starts servers as processes, waits for them, measures and stops them."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

PATIENCE_SECONDS = 60
QUIET_SECONDS = 0.5
HELPERS = ("resource_tracker",)
"""Helper processes of Python, which do no work."""


class ServerDied(Exception):
    pass


@dataclass(frozen=True)
class Server:
    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process)

    def memory(self) -> "Memory":
        return Memory.of(self._workers())

    def _workers(self) -> list[psutil.Process]:
        """The process itself if it has none."""
        workers = [
            child
            for child in self.process.children()
            if not any(helper in " ".join(child.cmdline()) for helper in HELPERS)
        ]
        return workers or [self.process]


@dataclass(frozen=True)
class Memory:
    """MiB of the largest worker. Proportional: shared pages count in part (PSS)."""

    resident: float
    proportional: float

    @classmethod
    def of(cls, workers: Sequence[psutil.Process]) -> "Memory":
        each = [worker.memory_full_info() for worker in workers]
        return cls(
            resident=max(memory.rss for memory in each) / 2**20,
            proportional=max(memory.pss for memory in each) / 2**20,
        )


def cpu_seconds(root: psutil.Process) -> float:
    """Processor time of this process and its descendants, ended ones included."""
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(
    command: Sequence[str], port: int, *, environment: Mapping[str, str], directory: Path
) -> Iterator[Server]:
    """Yields when every worker is ready; kills all of them at the end."""
    with running(command, environment=environment, directory=directory) as process:
        server = Server(f"http://127.0.0.1:{port}", process)
        _wait_until_answering(server)
        _wait_until_quiet(server)
        yield server


@contextmanager
def running(
    command: Sequence[str], *, environment: Mapping[str, str], directory: Path
) -> Iterator[psutil.Process]:
    """Runs a process, and kills it and its children at the end. ServerDied carries its output."""
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(  # noqa: S603  the contenders, and what they need
            command,
            env=_without_settings() | dict(environment),
            cwd=directory,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield psutil.Process(process.pid)
        except ServerDied as exc:
            if exc.args:
                raise  # of another process, with its output already
            output.seek(0)
            raise ServerDied(f"The server ended:\n{output.read()[-3000:]}") from None
        finally:
            _stop(process)


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}


def require_alive(process: psutil.Process) -> None:
    if process.status() == psutil.STATUS_ZOMBIE:
        raise ServerDied


def _wait_until_answering(server: Server) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        require_alive(server.process)
        with suppress(httpx2.TransportError):
            httpx2.get(f"{server.url}/livez", timeout=5)
            return
        time.sleep(0.1)
    raise ServerDied


def _wait_until_quiet(server: Server) -> None:
    """The first worker answers while the others still use the processor to start."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        before = server.cpu_seconds()
        time.sleep(QUIET_SECONDS)
        if server.cpu_seconds() - before < QUIET_SECONDS / 20:
            return
    raise ServerDied


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
