# SPDX-License-Identifier: MIT
"""The PostgreSQL server of the benchmarks, with a new database for each measurement."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from pydantic import SecretStr

from benchmarks.fresh import COLUMNS, Fresh
from benchmarks.processes import cpu_seconds
from service.bootstrap import migrations as migrate
from service.bootstrap.settings import DatabaseSettings
from service.dev import postgres as embedded

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "2GB",
    "max_connections": "100",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
}
LOGIN, RELAY_LOGIN = "training_api", "training_relay"
SESSIONS_PER_USER = 10
MIGRATIONS = Path(migrate.ALEMBIC_INI).parent / "migrations" / "versions"

# Rows as after long use: the sessions of a user are scattered, the newest is planned, and each
# ended session has its event.
PRESENT_SESSIONS = f"""
    INSERT INTO sessions
    SELECT md5('present user ' || number % $1::int)::uuid, uuidv7(),
        CASE WHEN number / $1 = {SESSIONS_PER_USER - 1} THEN 'planned'
            WHEN number % 10 = 0 THEN 'failed' ELSE 'completed' END,
        day, trained, trained, '{{12,10,NULL}}', 7, 'knee felt fine', 3, day, day
    FROM generate_series($2::int, $3::int - 1) AS number,
        LATERAL (SELECT timestamptz '2026-01-01 09:00+00' + number / $1 * interval '3 days')
            AS calendar (day),
        LATERAL (SELECT CASE WHEN number / $1 < {SESSIONS_PER_USER - 1} THEN day END)
            AS training (trained)
"""  # noqa: S608  of constants
PRESENT_EVENTS = """
    INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
        occurred_at, request_id)
    SELECT user_id, uuidv7(), id, version, 'session_' || status,
        '{"reason": "shoulder pain"}', updated_at, gen_random_uuid()::text
    FROM sessions WHERE status <> 'planned'
"""
AT_ONCE = 1_000_000
ROLES = "SELECT count(*) FROM pg_roles WHERE rolname = $1"


@dataclass(frozen=True)
class Cluster:
    server: embedded.Server

    def url(self, database: str, user: str = LOGIN) -> str:
        return self.server.url(database, user)

    @property
    def process(self) -> psutil.Process:
        pid, *_ = (self.server.data / "postmaster.pid").read_text().splitlines()
        return psutil.Process(int(pid))

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process)

    def execute(self, database: str, *statements: str) -> None:
        async def work(connection: asyncpg.Connection) -> None:
            for statement in statements:
                await connection.execute(statement)

        self._connected(database, work)

    def fetch(self, database: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = self._connected(
            database, lambda connection: connection.fetch(query, *arguments)
        )
        return found

    def value(self, database: str, query: str, *arguments: Any) -> Any:
        return self.fetch(database, query, *arguments)[0][0]

    @contextmanager
    def fresh_database(self, rows: int, fresh: Fresh) -> Iterator[str]:
        """A database with `rows` present rows and the fresh sessions; dropped at the end."""
        name = "measured"
        template = self._template(rows)
        self.execute(
            "postgres",
            f"DROP DATABASE IF EXISTS {name} WITH (FORCE)",
            f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY",
        )
        try:
            self._connected(
                name,
                lambda connection: connection.copy_to_table(
                    "sessions", source=fresh.sessions, columns=COLUMNS
                ),
            )
            self.execute(name, "VACUUM ANALYZE sessions")
            yield name
        finally:
            self.execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def _template(self, rows: int) -> str:
        """A template, created once for each schema, because ten million rows take minutes."""
        name = f"template_{rows}_{_schema()}"
        if not self.value("postgres", "SELECT count(*) FROM pg_database WHERE datname = $1", name):
            self._drop_older_templates()
            print(f"Making a database of {rows:,} sessions, once ...", flush=True)
            self._make_template(name, rows)
        return name

    def _drop_older_templates(self) -> None:
        older = "SELECT datname FROM pg_database WHERE datname ^@ 'template_' AND datname !~ $1"
        for row in self.fetch("postgres", older, f"_{_schema()}$"):
            self.execute("postgres", f"DROP DATABASE {row['datname']}")

    def _make_template(self, name: str, rows: int) -> None:
        new = "unfinished"
        self.execute(
            "postgres",
            f"DROP DATABASE IF EXISTS {new}",
            f"CREATE DATABASE {new} TEMPLATE template0",
        )
        url = SecretStr(self.url(new, embedded.SUPERUSER))
        settings = DatabaseSettings(database_url=url)
        migrate.migrate(settings, grant_to=LOGIN, grant_relay_to=RELAY_LOGIN)
        self._connected(new, lambda connection: _insert_present(connection, rows))
        self.execute(new, "VACUUM ANALYZE")
        self.execute("postgres", f"ALTER DATABASE {new} RENAME TO {name}")

    def _connected(self, database: str, work: Any) -> Any:
        async def connect() -> Any:
            connection = await asyncpg.connect(self.url(database, embedded.SUPERUSER))
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(connect())


async def _insert_present(connection: asyncpg.Connection, rows: int) -> None:
    await connection.execute("SET session_replication_role = replica")  # no foreign keys to check
    users = max(rows // SESSIONS_PER_USER, 1)
    for first in range(0, rows, AT_ONCE):
        await connection.execute(PRESENT_SESSIONS, users, first, min(first + AT_ONCE, rows))
    await connection.execute(PRESENT_EVENTS)


def _schema() -> str:
    """A name that changes with the migrations."""
    scripts = b"".join(path.read_bytes() for path in sorted(MIGRATIONS.glob("*.py")))
    return hashlib.sha256(scripts).hexdigest()[:8]


@contextmanager
def running(home: Path, settings: Mapping[str, str]) -> Iterator[Cluster]:
    with embedded.running(home, SETTINGS | dict(settings)) as server:
        cluster = Cluster(server)
        for login in (LOGIN, RELAY_LOGIN):
            if not cluster.value("postgres", ROLES, login):
                cluster.execute("postgres", f"CREATE ROLE {login} LOGIN")
        yield cluster
