# SPDX-License-Identifier: MIT
"""The contenders, and how each is started."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.issuer import Issuer
from benchmarks.plan import FAIL, KINDS, POOL_SIZE, READ, REREAD, WORKERS, Scenario

ROOT = Path(__file__).parents[2]
FASTIFY = Path(__file__).parent / "fastify_pg"
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


class NotHere(Exception):
    """The message says why a contender cannot take part on this machine."""


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
    sweeps: frozenset[str] = frozenset({"connections"})
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
        **site.of_service,
        "database_url": site.database_url,
        "database_pool_size": str(POOL_SIZE),
        "port": str(site.port),
        "workers": str(WORKERS),
        "log_level": "warning",
    } | _keys(site)
    return {f"SERVICE_{name}".upper(): value for name, value in settings.items()}


def _uvicorn(module: str) -> Callable[[Site], Start]:
    application = f"benchmarks.contenders.{module}:create_app"
    return lambda site: Start(
        [*UVICORN, f"--port={site.port}", application], _plain_environment(site)
    )


def _fastify(site: Site) -> Start:
    return Start([_node(), "server.js"], _plain_environment(site), _fastify_home(site.data))


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


def _install_fastify(data: Path) -> None:
    """Raises NotHere."""
    npm = shutil.which("npm")
    home = _fastify_home(data)
    _node()
    if npm is None:
        raise NotHere("npm is missing")
    home.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        FASTIFY, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules")
    )
    if (home / "node_modules").exists():
        return
    command = [npm, "ci", "--ignore-scripts", "--loglevel=error"]
    if subprocess.run(command, cwd=home, check=False).returncode:  # noqa: S603  npm
        raise NotHere("npm could not install its packages")


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise NotHere("Node.js is missing")
    return node


def _fastify_home(data: Path) -> Path:
    """The directory of the installed packages; it changes with the lock file."""
    lock = (FASTIFY / "package-lock.json").read_bytes()
    return data / "node" / hashlib.sha256(lock).hexdigest()[:8]


SERVICE = "service"
FASTAPI = "fastapi-orm"
ASYNCPG = "starlette-asyncpg"
FASTIFY_PG = "fastify-pg"
FLOOR = "pgbench"
CEILING = "http-ceiling"
BARE = "starlette-bare"

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            name=SERVICE,
            title="this service",
            start=_this_service,
            sweeps=frozenset({"kind", "connections", "rows", "algorithm"}),
        ),
        Contender(
            name=FASTAPI,
            title="FastAPI + SQLAlchemy ORM",
            start=_uvicorn("fastapi_orm.app"),
            sweeps=frozenset({"kind", "connections"}),
        ),
        Contender(
            name=ASYNCPG,
            title="Starlette + asyncpg by hand",
            start=_uvicorn("starlette_asyncpg.app"),
            sweeps=frozenset({"kind", "connections", "algorithm"}),
        ),
        Contender(name=FASTIFY_PG, title="Fastify + pg", start=_fastify, prepare=_install_fastify),
        Contender(name=FLOOR, title="pgbench, no HTTP", start=None, most_connections=64),
        Contender(
            name=CEILING,
            title="this service's HTTP, no database",
            start=_ceiling,
            uses_database=False,
            sweeps=frozenset({"kind", "connections"}),
            kinds=frozenset({FAIL, READ, REREAD}),
        ),
        Contender(
            name=BARE,
            title="bare Starlette, a constant answer",
            start=_uvicorn("bare"),
            uses_database=False,
            sweeps=frozenset({"connections"}),
            kinds=frozenset({FAIL}),
        ),
    )
}
