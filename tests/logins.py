# SPDX-License-Identifier: MIT
"""A PostgreSQL server that refuses logins for several reasons."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from service.dev import postgres as embedded
from tests.leaks import never_logged
from tests.system.processes import a_public_directory, free_port

PASSWORD = never_logged("whistle")
DOTTED = "swimmer.abc"
"""A login like those of Supabase's poolers; each test of it sets its password."""

TRUSTED = "president, spectator, ghost"
RULES = f"""
local all postgres trust
host all {TRUSTED} 127.0.0.1/32 trust
host all outcast 127.0.0.1/32 reject
host all coach, newcomer, runner, latecomer, "{DOTTED}" 127.0.0.1/32 scram-sha-256
"""
STATEMENTS = f"""
    CREATE ROLE president LOGIN SUPERUSER;
    CREATE ROLE coach LOGIN PASSWORD '{PASSWORD}';
    CREATE ROLE runner LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
    CREATE ROLE latecomer LOGIN PASSWORD '{PASSWORD}' VALID UNTIL '2000-01-01';
    CREATE ROLE spectator;
    CREATE ROLE "{DOTTED}" LOGIN;
    REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;
"""


@dataclass(frozen=True)
class Gate:
    """The server, which listens on 127.0.0.1."""

    port: int

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.url(login="president"))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    def url(self, *, login: str = f"coach:{PASSWORD}", database: str = "postgres") -> str:
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"


@contextmanager
def a_gate() -> Iterator[Gate]:
    port = free_port()
    with a_public_directory() as home:
        rules = home / "pg_hba.conf"
        rules.write_text(RULES)
        options = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(rules)}
        with embedded.running(home / "server", options | {"fsync": "off"}) as server:
            asyncio.run(_make_roles(f"{server.url()}&port={port}"))
            yield Gate(port)


async def _make_roles(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(STATEMENTS)
    await connection.close()
