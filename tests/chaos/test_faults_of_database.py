# SPDX-License-Identifier: MIT
"""Faults of PostgreSQL, in a run in which other faults happen at the same time."""

from collections.abc import AsyncIterator
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    DependencyUnavailable,
    WrongInstallation,
)
from service.bootstrap.migrations import alembic_config
from service.persistence.checks import REVISION
from tests.chaos.faults_of_database import REVISION_BEFORE, migrated
from tests.chaos.nemesis import NotCaused
from tests.running import Cluster, TestDatabase, a_database

PRESENT_REVISION = "SELECT version_num FROM alembic_version"


@pytest.fixture
async def own(cluster: Cluster, template: str) -> AsyncIterator[TestDatabase]:
    """A database that no other test uses again."""
    async with a_database(cluster, template=template) as database:
        yield database


def chosen() -> Random:
    return Random(1)  # noqa: S311  no secret


def test_the_newest_revision_is_one_that_may_be_taken_back_under_load(own: TestDatabase) -> None:
    script = ScriptDirectory.from_config(alembic_config(own.settings))

    assert script.get_revision("head").down_revision == REVISION_BEFORE


@pytest.mark.parametrize(
    "error",
    [ConnectionLost(), CommitUnknown(), DependencyUnavailable("x"), WrongInstallation("x")],
)
async def test_a_migration_that_meets_another_fault_runs_again(
    own: TestDatabase, error: Exception
) -> None:
    errors, revisions = [error, error], []

    def migrate(name: str) -> None:
        if errors:
            raise errors.pop()
        revisions.append(name)
        own.cluster.migrate(name)

    cluster = SimpleNamespace(settings=own.cluster.settings, migrate=migrate)
    installation: Any = SimpleNamespace(database=SimpleNamespace(name=own.name, cluster=cluster))
    async with migrated(installation, chosen()):
        assert await own.value(PRESENT_REVISION) == REVISION

    assert revisions == [own.name]


async def test_a_migration_that_gets_no_lock_takes_nothing_back(own: TestDatabase) -> None:
    installation: Any = SimpleNamespace(database=own)
    async with own.connection.transaction():
        await own.execute("LOCK TABLE sessions IN ACCESS SHARE MODE")
        with pytest.raises(NotCaused):
            async with migrated(installation, chosen()):
                pytest.fail("it was taken back")
    assert await own.value(PRESENT_REVISION) == REVISION
