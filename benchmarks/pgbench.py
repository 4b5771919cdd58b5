# SPDX-License-Identifier: MIT
"""Load by pgbench, and its results."""

import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cluster import LOGIN, Cluster
from benchmarks.load import Load, LoadFailed, cpu_seconds_of_children, run, threads_for

PGBENCH_SCRIPT = Path(__file__).parent / "contenders" / "pgbench.sql"


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
        f"--jobs={threads_for(clients)}",
        f"--define=clients={clients}",
        f"--define=first={first}",
        "--define=i=-1",
        f"--time={seconds}" if seconds else "--transactions=1",
        f"--file={PGBENCH_SCRIPT}",
        "--log",
    ]
    with tempfile.TemporaryDirectory() as logs:
        before = cpu_seconds_of_children()
        process = run([*command, f"--log-prefix={logs}/log", database])
        spent = cpu_seconds_of_children() - before
        latencies = sorted(
            int(line.split()[2]) / 1000
            for log in Path(logs).iterdir()
            for line in log.read_text().splitlines()
        )
    if process.returncode:
        raise LoadFailed(f"pgbench failed:\n{process.stderr}")
    return _load(process.stdout, latencies, spent)


def _load(report: str, latencies: Sequence[float], generator_cpu: float) -> Load:
    rate = re.search(r"tps = ([\d.]+) \(without initial connection time\)", report)
    failed = re.search(r"number of failed transactions: (\d+)", report)
    if not rate or not failed or not latencies:
        raise LoadFailed(f"pgbench says nothing useful:\n{report}")
    return Load(
        seconds=len(latencies) / float(rate[1]),
        succeeded=len(latencies),
        written=len(latencies),
        generator_cpu=generator_cpu,
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
