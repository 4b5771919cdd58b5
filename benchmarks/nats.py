# SPDX-License-Identifier: MIT
"""A NATS server with JetStream for one measurement."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from benchmarks.contenders.toolchains import NotHere
from benchmarks.processes import ServerDied, free_port, running

PATIENCE_SECONDS = 10

ENVIRONMENT = {"GOMAXPROCS": "1"}
"""As in docker-compose.yml; measured in docs/decisions/relay.md."""

CONFIGURATION = """
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitoring_port}"
jetstream {{ store_dir: "{home}/store", sync_interval: {sync} }}
"""


@dataclass(frozen=True)
class Nats:
    url: str
    monitoring_url: str
    process: psutil.Process

    def messages(self) -> int:
        """The number of messages in its streams."""
        found: int = httpx2.get(f"{self.monitoring_url}/jsz").json()["messages"]
        return found


def nats_server() -> str:
    """The path of nats-server: from PATH, or from this environment. Raises NotHere."""
    beside = Path(sys.executable).parent
    path = shutil.which("nats-server") or shutil.which("nats-server", path=beside)
    if path is None:
        raise NotHere("nats-server is missing")
    return path


@contextmanager
def serving_nats(sync: str) -> Iterator[Nats]:
    """`sync`: the interval of flushes to disk, or `always`."""
    port, monitoring_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="benchmarks-nats-") as home:
        file = Path(home) / "nats.conf"
        file.write_text(
            CONFIGURATION.format(port=port, monitoring_port=monitoring_port, home=home, sync=sync)
        )
        command = [nats_server(), "-c", str(file)]
        with running(command, environment=ENVIRONMENT, directory=Path(home)) as process:
            nats = Nats(f"nats://127.0.0.1:{port}", f"http://127.0.0.1:{monitoring_port}", process)
            _wait_until_answering(nats)
            yield nats


def _wait_until_answering(nats: Nats) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        with suppress(httpx2.HTTPError):  # also while it starts
            httpx2.get(f"{nats.monitoring_url}/healthz").raise_for_status()
            return
        time.sleep(0.1)
    raise ServerDied
