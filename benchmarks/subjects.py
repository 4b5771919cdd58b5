# SPDX-License-Identifier: MIT
"""Contenders ready to be measured: a server under the load of wrk, or pgbench."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import load
from benchmarks.checks.client import Client
from benchmarks.checks.constant import check_constant_answer
from benchmarks.checks.failing import check_failing, check_failing_without_database
from benchmarks.checks.lives import check_lives
from benchmarks.checks.pgbench import check_pgbench
from benchmarks.checks.reading import check_reading, check_reading_without_database
from benchmarks.checks.rows import Rows
from benchmarks.checks.training import check_training
from benchmarks.cluster import Cluster
from benchmarks.contenders.catalogue import BARE, CEILING, Contender, Site
from benchmarks.fresh import Fresh, Share
from benchmarks.issuer import Issuer
from benchmarks.load import Load
from benchmarks.pgbench import by_pgbench
from benchmarks.plan import FAIL, LIVED, MIXED, READ, REREAD, Scenario
from benchmarks.processes import Memory, Server, free_port, serving

CHECKS = {
    FAIL: check_failing,
    READ: check_reading,
    REREAD: check_reading,
    MIXED: check_lives,
    LIVED: check_training,
}
CHECKS_WITHOUT_DATABASE = {
    CEILING: {
        FAIL: check_failing_without_database,
        READ: check_reading_without_database,
        REREAD: check_reading_without_database,
    },
    BARE: {FAIL: check_constant_answer},
}
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/nowhere"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a contender is measured; `database` None for one that uses none.

    `of_service`: settings of this service other than its defaults.
    """

    scenario: Scenario
    cluster: Cluster
    database: str | None
    fresh: Fresh
    issuer: Issuer
    data: Path
    of_service: dict[str, str]


class Subject(Protocol):
    under_way: int
    """How many commands may be executed without an answer, because the load ended before it."""

    def check(self) -> None:
        """Raises DoesNotDoTheJob. Uses up the reserved sessions."""

    def greet(self, share: Share, seconds: int) -> None: ...

    def load(self, share: Share, seconds: int) -> Load: ...

    def cpu_seconds(self) -> float: ...

    def memory(self) -> Memory: ...


@contextmanager
def prepared(contender: Contender, setting: Setting) -> Iterator[Subject]:
    if contender.start is None:
        yield _Pgbench(setting)
        return
    with started(contender, setting) as server:
        yield _Http(contender, setting, server)


@contextmanager
def started(contender: Contender, setting: Setting) -> Iterator[Server]:
    """A contender that is a server, ready for requests."""
    assert contender.start  # noqa: S101  asked of servers alone
    site = Site(
        database_url=setting.cluster.url(setting.database) if setting.database else NO_DATABASE,
        port=free_port(),
        issuer=setting.issuer,
        data=setting.data,
        of_service=setting.of_service,
    )
    start = contender.start(site)
    with serving(
        start.command, site.port, environment=start.environment, directory=start.directory
    ) as server:
        yield server


class _Http:
    def __init__(self, contender: Contender, setting: Setting, server: Server) -> None:
        self._contender = contender
        self._setting = setting
        self._server = server
        self.under_way = setting.scenario.connections

    def check(self) -> None:
        setting = self._setting
        with Client(self._server.url, setting.issuer) as client:
            if setting.database is None:
                checks = CHECKS_WITHOUT_DATABASE[self._contender.name]
                checks[setting.scenario.kind](client, setting.fresh)
            else:
                database = Rows(setting.cluster, setting.database)
                CHECKS[setting.scenario.kind](client, database, setting.fresh)

    def greet(self, share: Share, seconds: int) -> None:
        setting = self._setting
        load.greet(self._server.url, setting.fresh, share, setting.scenario, seconds)

    def load(self, share: Share, seconds: int) -> Load:
        setting = self._setting
        return load.over_http(self._server.url, setting.fresh, share, setting.scenario, seconds)

    def cpu_seconds(self) -> float:
        return self._server.cpu_seconds()

    def memory(self) -> Memory:
        return self._server.memory()


class _Pgbench:
    under_way = 0

    def __init__(self, setting: Setting) -> None:
        assert setting.database  # noqa: S101  it is nothing without one
        self._database = setting.database
        self._setting = setting

    def check(self) -> None:
        check_pgbench(Rows(self._setting.cluster, self._database), self._setting.fresh)

    def greet(self, share: Share, seconds: int) -> None:
        pass

    def load(self, share: Share, seconds: int) -> Load:
        return by_pgbench(
            self._setting.cluster,
            self._database,
            share.first,
            clients=self._setting.scenario.connections,
            seconds=seconds,
        )

    def cpu_seconds(self) -> float:
        return load.cpu_seconds_of_children()

    def memory(self) -> Memory:
        return Memory(resident=0, proportional=0)
