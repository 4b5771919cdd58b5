# SPDX-License-Identifier: MIT
"""A test that never ends: `test_killed_run` starts it in a run of its own, and kills the run."""

import asyncio
import os
from pathlib import Path

from tests.nats_server import a_nats_server
from tests.running import TestDatabase
from tests.system.processes import a_service

PIDS = "TEST_RUN_PIDS"
"""Names the file for the ids of the servers."""


async def test_stands_still(database: TestDatabase) -> None:
    async with a_nats_server() as broker, a_service(database.api_url) as (service, _):
        data = Path(await database.value("SELECT current_setting('data_directory')"))
        postgres = (data / "postmaster.pid").read_text().splitlines()[0]
        pids = [postgres, str(broker.pid), str(service.running.pid)]
        written = Path(os.environ[PIDS])
        written.with_suffix(".new").write_text("\n".join(pids))
        written.with_suffix(".new").rename(written)
        await asyncio.Event().wait()
