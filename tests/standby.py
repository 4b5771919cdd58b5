# SPDX-License-Identifier: MIT
"""A PostgreSQL server with a streaming standby, for tests of a failover."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.dev import postgres as embedded
from tests.running import Cluster, TestDatabase, eventually
from tests.system.processes import a_public_directory, free_port

OPTIONS = {"fsync": "off", "listen_addresses": "127.0.0.1", "max_wal_size": "128MB"}
DATABASE = "gym"


@dataclass(frozen=True)
class Pair:
    """A primary, whose database `gym` is migrated, and its standby."""

    primary: Cluster
    standby: Cluster
    _primary_runs: ExitStack

    def url(self, *servers: Cluster, login: str | None = None, query: str = "") -> str:
        """Without `servers`: the primary first; without `login`: that of the API."""
        places = [_place(each) for each in servers or (self.primary, self.standby)]
        user = f"{login or self.primary.api_role}:{self.primary.password}"
        return f"postgresql://{user}@{','.join(places)}/{DATABASE}?{query}"

    async def stop_primary(self) -> None:
        await asyncio.to_thread(self._primary_runs.close)

    async def promote(self) -> None:
        await self.standby.execute("SELECT pg_promote()")

    async def replicated(self, primary: TestDatabase, standby: TestDatabase) -> None:
        """Waits until the standby shows all transactions that the primary has committed.

        A position in the WAL would not do: it may lie within a record that is not written yet.
        """
        last = await primary.value("SELECT pg_current_xact_id()::text")
        is_visible = f"SELECT pg_visible_in_snapshot('{last}', pg_current_snapshot())"
        await eventually(lambda: standby.value(is_visible))


@contextmanager
def a_pair() -> Iterator[Pair]:
    with a_public_directory() as home, ExitStack() as primary_runs:
        primary, options = _cluster()
        server = primary_runs.enter_context(embedded.running(home / "primary", options))
        asyncio.run(primary.make_logins())
        asyncio.run(primary.create_database(DATABASE))
        primary.migrate(DATABASE)
        copy(server, int(options["port"]), home / "standby")
        standby, options = _cluster()
        with embedded.running(home / "standby", options):
            yield Pair(primary, standby, primary_runs)


def _cluster() -> tuple[Cluster, dict[str, str]]:
    port = str(free_port())
    return Cluster(f"postgresql://postgres@127.0.0.1:{port}/postgres"), OPTIONS | {"port": port}


def copy(server: embedded.Server, port: int, home: Path, *, is_standby: bool = True) -> None:
    """A copy of the server's data, made by the user that it runs as, with the WAL that it needs.

    `port`: from which the copy is made, and which the standby follows later.
    """
    home.mkdir()
    home.chmod(0o777)
    owner = server.data.owner()
    place = ["-h", "127.0.0.1", "-p", str(port), "-U", embedded.SUPERUSER]
    command = [str(server.binaries / "pg_basebackup"), *place, "-D", str(home / "postgres")]
    subprocess.run(
        [*command, "--checkpoint=fast", *(["-R"] if is_standby else [])],
        user=owner if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        cwd="/",
        check=True,
    )


def _place(cluster: Cluster) -> str:
    return cluster.admin_url.partition("@")[2].partition("/")[0]
