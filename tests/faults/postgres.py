# SPDX-License-Identifier: MIT
"""A PostgreSQL server that can be stopped and started again at the same address."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psutil

from service.dev import postgres as embedded
from tests.running import Cluster, TestDatabase, a_database
from tests.system.processes import a_public_directory, free_port


class Postgres:
    """Runs with default settings, `fsync` included, except that autovacuum starts more often."""

    def __init__(self, home: Path, options: Mapping[str, str] | None = None) -> None:
        self._home = home
        self._options = {
            "listen_addresses": "127.0.0.1",
            "port": str(free_port()),
            "autovacuum_naptime": "5s",
            **(options or {}),
        }
        self._running = ExitStack()

    @property
    def cluster(self) -> Cluster:
        return Cluster(
            f"postgresql://{embedded.SUPERUSER}@127.0.0.1:{self._options['port']}/postgres"
        )

    def start(self) -> None:
        self.server = self._running.enter_context(embedded.running(self._home, self._options))
        pid, *_ = (self.server.data / "postmaster.pid").read_text().splitlines()
        self._pid = int(pid)

    @property
    def port(self) -> int:
        return int(self._options["port"])

    @property
    def processes(self) -> list[psutil.Process]:
        """The postmaster and then its children; empty if it has ended."""
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._pid)
            return [postmaster, *postmaster.children()]
        return []

    def crash(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Ends the server at once, without a checkpoint, so that the next start has to recover."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)
        self._running.close()

    def stop(self) -> None:
        self._running.close()


@contextmanager
def a_postgres() -> Iterator[Postgres]:
    with a_public_directory(on_disk=True) as place:
        postgres = Postgres(place / "server")
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()


@asynccontextmanager
async def a_migrated_database(cluster: Cluster) -> AsyncIterator[TestDatabase]:
    await cluster.make_logins()
    async with a_database(cluster, template="template0") as database:
        await asyncio.to_thread(cluster.migrate, database.name)
        yield database
