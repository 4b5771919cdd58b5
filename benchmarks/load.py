# SPDX-License-Identifier: MIT
"""Load by wrk over HTTP, and its results."""

import json
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fresh import Fresh, Share
from benchmarks.plan import FAIL, LIVED, MIXED, READ, READING, REREAD, Scenario

SCRIPTS = Path(__file__).with_name("wrk")
SCRIPT = {FAIL: "prepared", READ: "prepared", REREAD: "reread", MIXED: "lives", LIVED: "lived"}
WINDOW_SECONDS = 0.05
"""Must equal the value in wrk/windows.lua."""

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

    `refused`: answers other than 2xx; `broken`: lost connections and timeouts. `written`: how many
    successes were changes. `generator_cpu`: seconds of wrk or pgbench.
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
    written: int
    generator_cpu: float
    windows: list[Window] = field(default_factory=list)

    @property
    def errors(self) -> int:
        return self.refused + self.broken


def require_wrk() -> str:
    if path := shutil.which("wrk"):
        return path
    raise LoadFailed("wrk is missing; on Debian and Ubuntu: apt-get install wrk")


def over_http(
    url: str,
    fresh: Fresh,
    share: Share,
    scenario: Scenario,
    seconds: int,
    *,
    script: str = "",
    argument: str = "",
) -> Load:
    """`script` replaces the script of the kind of load; `windows` also records times of answers.

    `argument`: one more of the script.
    """
    threads = threads_for(scenario.connections)
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
        argument,
    ]
    before = cpu_seconds_of_children()
    process = run(command)
    spent = cpu_seconds_of_children() - before
    try:
        seen = json.loads(process.stderr.splitlines()[-1])
    except (ValueError, IndexError):
        raise LoadFailed(f"wrk failed:\n{process.stderr}{process.stdout}") from None
    if seen["exhausted"]:
        raise LoadFailed(f"{share.count:,} requests were not enough; give a higher --rate-max")
    return _over_http(seen, scenario, spent)


def greet(url: str, fresh: Fresh, share: Share, scenario: Scenario, seconds: int) -> None:
    """Shows the tokens of the users who are under way at the beginning of the load to the server.

    Only if users send several requests: the load begins in the middle of their lives.
    """
    if scenario.kind == LIVED:
        over_http(url, fresh, share, scenario, seconds, argument="greet")


def _over_http(seen: dict[str, Any], scenario: Scenario, generator_cpu: float) -> Load:
    succeeded = seen["answers"] - seen["refusals"]
    written = dict.fromkeys(READING, 0) | {LIVED: seen["written"]}
    return Load(
        seconds=seen["seconds"],
        succeeded=succeeded,
        written=written.get(scenario.kind, succeeded),
        generator_cpu=generator_cpu,
        refused=seen["refusals"],
        broken=seen["socket_errors"] + seen["timeouts"],
        **{name: seen[name] for name in LATENCIES},
        windows=[
            Window(number * WINDOW_SECONDS, status, answers)
            for number, status, answers in sorted(seen["windows"])
        ],
    )


def cpu_seconds_of_children() -> float:
    """Only of use as a difference: it counts every child that has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def threads_for(connections: int) -> int:
    return 2 if connections >= MANY_CONNECTIONS else 1


def run(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  wrk and pgbench
        [str(each) for each in command], capture_output=True, text=True, check=False
    )
