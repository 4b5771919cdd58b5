# SPDX-License-Identifier: MIT
"""Every process of the service runs on uvloop."""

import asyncio

import uvicorn
import uvloop

from service.bootstrap.server import server_options
from service.cli.running import run
from tests.builders import NOWHERE
from tests.running import test_settings


def test_the_server_runs_on_uvloop() -> None:
    options = server_options(test_settings(database_url=NOWHERE))

    assert uvicorn.Config("", **options).get_loop_factory() is uvloop.new_event_loop


def test_the_relay_and_the_other_commands_run_on_uvloop() -> None:
    async def command() -> int:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        return 7

    assert run(command(), if_stopped=str) == 7
