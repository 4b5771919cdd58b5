# SPDX-License-Identifier: MIT
"""Faults of PostgreSQL end without a trace in the log of the run."""

import asyncio
import gc
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.faults_of_database import connections_used_up
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
