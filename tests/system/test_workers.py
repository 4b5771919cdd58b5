# SPDX-License-Identifier: MIT
"""Several workers of `serve`: their health check, and workers that stand still (SIGSTOP)."""

import errno
import json
import multiprocessing
import os
import signal
import time
from typing import Any

import httpx2
import pytest
import uvicorn

from service.bootstrap import listening, server, workers
from service.bootstrap.workers import Supervisor, Worker
from tests.builders import NOWHERE
from tests.freezing import frozen
from tests.running import TestDatabase, test_settings
from tests.system.processes import PATIENCE_SECONDS, Process, a_service

AN_HOUR = "3600"


async def test_both_of_two_workers_answer(database: TestDatabase) -> None:
    async with a_service(database.api_url, workers="2") as (process, app):
        for worker in [await _worker(process, count) for count in (1, 2)]:
            async with frozen(worker):
                assert httpx2.get(f"{app.url}/livez", timeout=PATIENCE_SECONDS).status_code == 200


@pytest.mark.usefixtures("logs_configured_again")
@pytest.mark.parametrize(("given", "used"), [({}, 30), ({"worker_health_timeout_seconds": 77}, 77)])
def test_the_health_check_of_a_worker_waits_as_long_as_set(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, int], used: int
) -> None:
    """uvicorn alone kills a worker that was starved for 5 seconds."""
    asked: list[float] = []

    class Starved(Worker):
        def start(self) -> None:
            pass

        def is_alive(self, timeout: float = 5) -> bool:
            asked.append(timeout)
            return True

    def check_once(self: Supervisor) -> None:
        self.processes = [Starved(self.config, self.sockets)]
        self.keep_subprocess_alive()
        listening.close(self.sockets)

    monkeypatch.setattr(Supervisor, "run", check_once)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    server.serve(test_settings(database_url=NOWHERE, port=0, workers=2, **given))

    assert asked == [used]


async def test_replaces_a_worker_that_was_killed() -> None:
    async with a_service(NOWHERE, workers="2") as (process, app):
        killed = await _worker(process, 2)
        os.kill(killed, signal.SIGKILL)
        await process.line(f"Child process [{killed}] died")
        await process.line("Application startup complete", count=3)

        assert (await app.client.get("/livez")).status_code == 200


@pytest.mark.usefixtures("logs_configured_again")
def test_no_worker_outlives_an_unexpected_error_of_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error is not said to be one of listening, and the parent ends."""

    def fail(_self: Supervisor) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(Supervisor, "handle_signals", fail)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(OSError, match="Invalid argument"):
        server.serve(test_settings(database_url=NOWHERE, port=0, workers=2))

    assert multiprocessing.active_children() == []


async def test_sigterm_stops_the_other_worker_while_one_stands_still() -> None:
    settings = {"workers": "2", "worker_health_timeout_seconds": AN_HOUR}
    async with a_service(NOWHERE, **settings) as (process, _):
        async with frozen(await _worker(process, 2)):
            process.signal(signal.SIGTERM)
            await process.line("Finished server process")

        assert await process.end() == 0


@pytest.mark.usefixtures("logs_configured_again")
def test_a_worker_that_sigterm_finds_half_started_hears_of_it_before_the_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else its own notice would begin when that of the others has ended."""
    handlers: dict[int, Any] = {}
    started: list[Worker] = []
    events: list[object] = []

    def sigterm() -> None:
        handlers[signal.SIGTERM](signal.SIGTERM, None)

    class HalfStarted(Worker):
        def start(self) -> None:
            if started:
                sigterm()
            started.append(self)

        @property
        def pid(self) -> int:
            return started.index(self) + 1

        def terminate(self) -> None:
            pass

        def join(self) -> None:
            pass

    def end_notice(_seconds: float) -> None:
        events.append("notice")
        sigterm()

    monkeypatch.setattr(workers, "Worker", HalfStarted)
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(os, "kill", lambda pid, _signal: events.append(pid))
    monkeypatch.setattr(time, "sleep", end_notice)
    settings = {"workers": 2, "shutdown_notice_seconds": AN_HOUR}
    server.serve(test_settings(database_url=NOWHERE, port=0, **settings))

    assert events == [1, 2, "notice"]


def test_no_sign_of_a_killed_worker_is_waited_for() -> None:
    """Or a shutdown would wait too, because SIGTERM kills a worker that has only begun to start."""
    worker = Worker(uvicorn.Config("", log_config=None), [])
    worker.start()
    worker.process.kill()

    assert not worker.ping(timeout=int(AN_HOUR))

    worker.join()
    worker.kill()


async def _worker(process: Process, count: int) -> int:
    event = json.loads(await process.line("Started server process", count=count))["event"]
    return int(event.rpartition("[")[2].rstrip("]"))
