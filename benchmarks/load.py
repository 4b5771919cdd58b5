# SPDX-License-Identifier: MIT
"""Load by wrk over HTTP, or by pgbench, and its results."""

import json
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cluster import LOGIN, Cluster
from benchmarks.fresh import Fresh, Share
from benchmarks.plan import FAIL, MIXED, READ, Scenario

SCRIPTS = Path(__file__).with_name("wrk")
SCRIPT = {FAIL: "prepared", READ: "prepared", MIXED: "lives"}
WINDOW_SECONDS = 0.05
"""Must equal the value in wrk/windows.lua."""

PGBENCH_SCRIPT = Path(__file__).parent / "contenders" / "pgbench.sql"
TIMEOUT = "10s"
MANY_CONNECTIONS = 8
"""From this number of connections on, wrk and pgbench use two threads."""

LATENCIES = ("p50", "p90", "p99", "p999", "max")


class LoadFailed(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Window:
    """The number of answers with one status in the `WINDOW_SECONDS` after `start`.

    `start` is a time of `time.monotonic`.
    """

    start: float
    status: int
    answers: int


@dataclass(frozen=True)
class Load:
    """The results of a load. Latencies in milliseconds.

    `refused`: answers other than 2xx; `broken`: lost connections and timeouts.
    """

    seconds: float
    succeeded: int
    refused: int
    broken: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    windows: list[Window] = field(default_factory=list)

    @property
    def errors(self) -> int:
        return self.refused + self.broken


def require_wrk() -> str:
    if path := shutil.which("wrk"):
        return path
    raise LoadFailed("wrk is missing; on Debian and Ubuntu: apt-get install wrk")


def over_http(
    url: str, fresh: Fresh, share: Share, scenario: Scenario, seconds: int, *, script: str = ""
) -> Load:
    """`script` replaces the script of the kind of load; `windows` also records times of answers."""
    threads = _threads(scenario.connections)
    requests = scenario.kind, scenario.algorithm
    command = [
        require_wrk(),
        f"--threads={threads}",
        f"--connections={scenario.connections}",
        f"--duration={seconds}s",
        f"--timeout={TIMEOUT}",
        f"--script={SCRIPTS}/{script or SCRIPT[scenario.kind]}.lua",
        url,
        "--",
        fresh.requests(*requests),
        fresh.request_length(*requests),
        share.first,
        share.count // threads,
    ]
    run = _run(command)
    try:
        seen = json.loads(run.stderr.splitlines()[-1])
    except (ValueError, IndexError):
        raise LoadFailed(f"wrk failed:\n{run.stderr}{run.stdout}") from None
    if seen["exhausted"]:
        raise LoadFailed(f"{share.count:,} requests were not enough; give a higher --rate-max")
    return _over_http(seen)


def _over_http(seen: dict[str, Any]) -> Load:
    return Load(
        seconds=seen["seconds"],
        succeeded=seen["answers"] - seen["refusals"],
        refused=seen["refusals"],
        broken=seen["socket_errors"] + seen["timeouts"],
        **{name: seen[name] for name in LATENCIES},
        windows=[
            Window(number * WINDOW_SECONDS, status, answers)
            for number, status, answers in sorted(seen["windows"])
        ],
    )


def by_pgbench(
    cluster: Cluster,
    database: str,
    first: int,
    *,
    clients: int,
    seconds: int | None = None,
) -> Load:
    """One transaction per client if `seconds` is None."""
    command = [
        cluster.server.binaries / "pgbench",
        f"--host={cluster.server.socket_dir}",
        f"--username={LOGIN}",
        "--no-vacuum",
        "--protocol=prepared",
        f"--client={clients}",
        f"--jobs={_threads(clients)}",
        f"--define=clients={clients}",
        f"--define=first={first}",
        "--define=i=-1",
        f"--time={seconds}" if seconds else "--transactions=1",
        f"--file={PGBENCH_SCRIPT}",
        "--log",
    ]
    with tempfile.TemporaryDirectory() as logs:
        run = _run([*command, f"--log-prefix={logs}/log", database])
        latencies = sorted(
            int(line.split()[2]) / 1000
            for log in Path(logs).iterdir()
            for line in log.read_text().splitlines()
        )
    if run.returncode:
        raise LoadFailed(f"pgbench failed:\n{run.stderr}")
    return _load(run.stdout, latencies)


def _load(report: str, latencies: Sequence[float]) -> Load:
    rate = re.search(r"tps = ([\d.]+) \(without initial connection time\)", report)
    failed = re.search(r"number of failed transactions: (\d+)", report)
    if not rate or not failed or not latencies:
        raise LoadFailed(f"pgbench says nothing useful:\n{report}")
    return Load(
        seconds=len(latencies) / float(rate[1]),
        succeeded=len(latencies),
        refused=int(failed[1]),
        broken=0,
        p50=_percentile(latencies, 50),
        p90=_percentile(latencies, 90),
        p99=_percentile(latencies, 99),
        p999=_percentile(latencies, 99.9),
        max=latencies[-1],
    )


def _percentile(ascending: Sequence[float], percent: float) -> float:
    return ascending[max(math.ceil(len(ascending) * percent / 100) - 1, 0)]


def _threads(connections: int) -> int:
    return 2 if connections >= MANY_CONNECTIONS else 1


def _run(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  wrk and pgbench
        [str(each) for each in command], capture_output=True, text=True, check=False
    )
