# SPDX-License-Identifier: MIT
"""Metrics of several workers: one answer, which no worker's end makes smaller."""

import asyncio
import os
import signal
import subprocess
import sys

import psutil
import pytest

from service.observability import workers as observed
from service.observability.catalogue import QUEUE_LENGTH, SKIPPED
from service.observability.families import Snapshot
from service.observability.workers import ONE_WORKER, Reporter, Workers, open_channel, summed
from tests.observability.scraping import Metrics, Scrape
from tests.running import TestDatabase, eventually
from tests.system.processes import Process, a_service, finished, serve_environment

REQUESTS = "training_http_requests_total"
ROUTES = "method", "route", "status", "code"
LIMIT = "training_queue_limit"
LIVEZ = ("GET", "/livez", "200", "")


def worker_processes(process: Process) -> list[psutil.Process]:
    children = psutil.Process(process.running.pid).children()
    return [each for each in children if "spawn_main" in " ".join(each.cmdline())]


async def test_counts_of_two_workers_are_summed_and_outlive_a_killed_one(
    database: TestDatabase,
) -> None:
    async with a_service(database.api_url, metrics_port="0", workers="2") as (process, app):
        metrics = await Metrics.of(process)
        limits = {"commands": 10_000, "reads": 10_000}
        both = await metrics.until(lambda scrape: _is_whole(scrape, limits))
        assert both("training_workers") == 2
        assert both("training_database_connections_limit") == 20
        await asyncio.gather(*(app.client.get("/livez") for _ in range(40)))
        counted = await metrics.until(lambda scrape: scrape.by(REQUESTS, *ROUTES) == {LIVEZ: 40})

        worker_processes(process)[0].kill()
        await metrics.until(lambda scrape: scrape("training_worker_starts_total") == 3)
        after = await metrics.until(lambda scrape: _is_whole(scrape, limits))
        assert (await app.client.get("/livez")).status_code == 200
        more = await metrics.until(lambda scrape: scrape.by(REQUESTS, *ROUTES) != {LIVEZ: 40})

        assert counted("training_worker_starts_total") == 2
        assert after("training_workers") == 2
        assert after("process_cpu_seconds_total") >= counted("process_cpu_seconds_total")
        assert more.by(REQUESTS, *ROUTES) == {LIVEZ: 41}


def _is_whole(scrape: Scrape, limits: dict[str, int]) -> bool:
    return scrape.by(LIMIT, "kind") == limits and bool(scrape("training_ready"))


async def test_a_replica_with_two_workers_ends_with_success(database: TestDatabase) -> None:
    async with a_service(database.api_url, metrics_port="0", workers="2") as (process, _):
        process.signal(signal.SIGTERM)
        assert await process.end() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_taken_port_ends_the_start(database: TestDatabase, workers: str) -> None:
    async with a_service(database.api_url, metrics_port="0") as (process, _):
        port = (await Metrics.of(process)).url.rpartition(":")[2]
        environment = serve_environment(database.api_url, metrics_port=port, workers=workers)
        second = await finished("serve", environment=environment)

    assert second.code == 3
    assert '"event": "cannot_listen"' in second.out
    assert f'"port": {port}' in second.out
    assert "Traceback" not in second.out + second.err


def test_nothing_that_counts_is_imported_while_metrics_are_off() -> None:
    """The app is made as `serve` makes it."""
    program = (
        "import sys\n"
        "from service.bootstrap.api_metrics import served\n"
        "from service.bootstrap.server import _app\n"
        "from service.bootstrap.settings import Settings, load\n"
        "settings = load(Settings)\n"
        "with served(settings) as (observers, _): _app(settings, observers)\n"
        "print(*sorted(name for name in sys.modules if 'prometheus' in name"
        " or name.startswith('service.observability.')))\n"
    )
    environment = serve_environment("postgresql://unused/none")
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert ran.stdout.split() == ["service.observability.server"]


def a_report(skipped: float, waiting: float) -> Snapshot:
    return {
        SKIPPED.name: {(): [skipped]},
        QUEUE_LENGTH.name: {("commands",): [waiting]},
    }


async def test_gauges_of_a_silent_worker_are_left_out_and_its_counts_are_kept() -> None:
    now = 0.0
    workers = Workers(clock=lambda: now)
    receiver, sender = open_channel()
    with receiver, sender, workers.receiving(receiver):
        Reporter(sender, lambda: a_report(7, 3)).report()
        await eventually(lambda: _has(workers, SKIPPED.name, [7.0]))
        assert workers.snapshot()[QUEUE_LENGTH.name] == {("commands",): [3.0]}

        now = observed.SILENT_SECONDS + 0.1
        silent = workers.snapshot()

    assert silent[SKIPPED.name] == {(): [7.0]}
    assert silent[QUEUE_LENGTH.name] == {}
    assert summed(silent)["training_workers"] == summed(silent)["training_ready"] == {(): [0.0]}


async def test_a_late_report_of_a_worker_that_has_ended_counts_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    monkeypatch.setattr(os, "getpid", lambda: gone.pid)
    workers = Workers()
    receiver, sender = open_channel()
    with receiver, sender, workers.receiving(receiver):
        reporter = Reporter(sender, lambda: a_report(7, 3))
        reporter.report()
        await eventually(lambda: _has(workers, SKIPPED.name, [7.0]))
        reporter.report()
        Reporter(sender, lambda: a_report(1, 0)).report()
        await eventually(lambda: _has(workers, SKIPPED.name, [8.0]))

    assert workers.snapshot()[QUEUE_LENGTH.name] == {}
    assert workers.snapshot()["training_worker_starts_total"] == {(): [2.0]}


async def _has(workers: Workers, name: str, value: list[float]) -> bool:
    return workers.snapshot().get(name) == {(): value}


async def test_a_report_that_nobody_reads_is_dropped() -> None:
    receiver, sender = open_channel()
    with receiver, sender:
        reporter = Reporter(sender, lambda: ONE_WORKER)
        for _ in range(10_000):
            reporter.report()
