# SPDX-License-Identifier: MIT
"""Faults of PostgreSQL, in a run in which other faults happen at the same time."""

import asyncio
import gc
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    DependencyUnavailable,
    WrongInstallation,
)
from tests.chaos.faults_of_database import connections_used_up, migrated
from tests.listening import listening

TURNS = range(12)
"""Of the event loop: a connection to this machine takes half of them."""


async def close_at_once(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A server that is about to end."""


async def test_nothing_is_logged_if_the_fault_ends_while_a_connection_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(close_at_once) as port:
        url = f"postgresql://coach@127.0.0.1:{port}/gym"
        database = SimpleNamespace(url="not a URL", api_url=url)  # the fault begins at once
        installation: Any = SimpleNamespace(database=database)
        for turns in TURNS:
            async with connections_used_up(installation, Random(1)):  # noqa: S311  no secret
                for _ in range(turns):
                    await asyncio.sleep(0)
    gc.collect()

    assert caplog.messages == []


@pytest.mark.parametrize(
    "error",
    [ConnectionLost(), CommitUnknown(), DependencyUnavailable("x"), WrongInstallation("x")],
)
async def test_a_migration_that_meets_another_fault_does_not_end_the_run(error: Exception) -> None:
    def migrate(_name: str) -> None:
        raise error

    cluster = SimpleNamespace(migrate=migrate)
    database = SimpleNamespace(url="not a URL", api_url="not a URL", name="gym", cluster=cluster)
    installation: Any = SimpleNamespace(database=database)

    async with migrated(installation, Random(1)):  # noqa: S311  no secret
        pass
