# SPDX-License-Identifier: MIT
"""A PostgreSQL server that can be stopped and started again at the same address."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from service.dev import postgres as embedded
from tests.running import Cluster, TestDatabase, a_database
from tests.system.processes import a_public_directory, free_port


class Postgres:
    """Runs with default settings, `fsync` included, except that autovacuum starts more often."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._options = {
            "listen_addresses": "127.0.0.1",
            "port": str(free_port()),
            "autovacuum_naptime": "5s",
        }
        self._running = ExitStack()

    @property
    def cluster(self) -> Cluster:
        return Cluster(
            f"postgresql://{embedded.SUPERUSER}@127.0.0.1:{self._options['port']}/postgres"
        )

    def start(self) -> None:
        server = self._running.enter_context(embedded.running(self._home, self._options))
        pid, *_ = (server.data / "postmaster.pid").read_text().splitlines()
        self._pid = int(pid)

    def crash(self) -> None:
        """Ends the server at once, without a checkpoint, so that the next start has to recover."""
        os.kill(self._pid, signal.SIGQUIT)
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
