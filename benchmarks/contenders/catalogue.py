# SPDX-License-Identifier: MIT
"""The contenders, and how each is started."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import golang, node
from benchmarks.issuer import Issuer
from benchmarks.plan import FAIL, KINDS, POOL_SIZE, READ, REREAD, WORKERS, Scenario

ROOT = Path(__file__).parents[2]
KEEP_ALIVE_SECONDS = 75

UVICORN = (
    sys.executable,
    "-m",
    "uvicorn",
    "--factory",
    f"--workers={WORKERS}",
    "--loop=uvloop",
    "--http=httptools",
    "--log-level=warning",
    "--no-access-log",
    "--no-server-header",
    f"--timeout-keep-alive={KEEP_ALIVE_SECONDS}",
)
"""The other Python contenders run uvicorn as this service does."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a server needs: its database, port, issuer, data directory and settings."""

    database_url: str
    port: int
    issuer: Issuer
    data: Path
    of_service: dict[str, str]


@dataclass(frozen=True)
class Start:
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path = ROOT


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A program that is measured. `start` is None if it is no server.

    `most_connections`: the limit of the program. `sweeps`: the fields of a scenario that may
    differ from the base. `kinds`: the kinds of load that it can serve.
    """

    name: str
    title: str
    start: Callable[[Site], Start] | None
    prepare: Callable[[Path], None] | None = None
    uses_database: bool = True
    most_connections: int | None = None
    sweeps: frozenset[str] = frozenset({"kind", "connections", "rows", "algorithm"})
    kinds: frozenset[str] = frozenset(KINDS)

    def takes_part_in(self, scenario: Scenario) -> bool:
        if self.most_connections and scenario.connections > self.most_connections:
            return False
        return scenario.kind in self.kinds and scenario.differences() <= self.sweeps


def _this_service(site: Site) -> Start:
    return Start([sys.executable, "-m", "service", "serve"], _settings(site))


def _ceiling(site: Site) -> Start:
    return Start([sys.executable, "-m", "benchmarks.contenders.ceiling"], _settings(site))


def _settings(site: Site) -> dict[str, str]:
    settings = {
        "database_url": site.database_url,
        "database_pool_size": str(POOL_SIZE),
        "workers": str(WORKERS),
        "log_level": "warning",
        **site.of_service,
        "port": str(site.port),
    } | _keys(site)
    return {f"SERVICE_{name}".upper(): value for name, value in settings.items()}


def _uvicorn(module: str) -> Callable[[Site], Start]:
    application = f"benchmarks.contenders.{module}:create_app"
    return lambda site: Start(
        [*UVICORN, f"--port={site.port}", application], _plain_environment(site)
    )


def _fastify(site: Site) -> Start:
    return Start([node.executable(), "server.js"], _plain_environment(site), node.home(site.data))


def _go(site: Site) -> Start:
    return Start([str(golang.binary(site.data))], _plain_environment(site))


def _plain_environment(site: Site) -> dict[str, str]:
    environment = {
        "database_url": site.database_url,
        "pool_size": str(POOL_SIZE),
        "port": str(site.port),
        "workers": str(WORKERS),
        "node_env": "production",
    } | _keys(site)
    return {name.upper(): value for name, value in environment.items()}


def _keys(site: Site) -> dict[str, str]:
    keys = {"jwt_secret": site.issuer.secret, "jwks_url": site.issuer.jwks_url}
    return {name: value for name, value in keys.items() if value}


SERVICE = "service"
FASTAPI = "fastapi-orm"
ASYNCPG = "starlette-asyncpg"
FASTIFY_PG = "fastify-pg"
GO = "go-pgx"
PGBENCH = "pgbench"
CEILING = "http-ceiling"
BARE = "starlette-bare"

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            name=SERVICE,
            title="this service",
            start=_this_service,
        ),
        Contender(
            name=FASTAPI,
            title="FastAPI + SQLAlchemy ORM",
            start=_uvicorn("fastapi_orm.app"),
        ),
        Contender(
            name=ASYNCPG,
            title="Starlette + asyncpg by hand",
            start=_uvicorn("starlette_asyncpg.app"),
        ),
        Contender(
            name=FASTIFY_PG,
            title="Fastify + pg",
            start=_fastify,
            prepare=node.install,
        ),
        Contender(
            name=GO,
            title="Go + pgx, pipelined",
            start=_go,
            prepare=golang.build,
        ),
        Contender(
            name=PGBENCH,
            title="pgbench, no HTTP",
            start=None,
            most_connections=64,
            sweeps=frozenset({"connections", "rows"}),
        ),
        Contender(
            name=CEILING,
            title="this service's HTTP, no database",
            start=_ceiling,
            uses_database=False,
            sweeps=frozenset({"kind", "connections", "algorithm"}),
            kinds=frozenset({FAIL, READ, REREAD}),
        ),
        Contender(
            name=BARE,
            title="bare Starlette, a constant answer",
            start=_uvicorn("bare"),
            uses_database=False,
            sweeps=frozenset({"kind", "connections", "algorithm"}),
            kinds=frozenset({FAIL}),
        ),
    )
}
