# SPDX-License-Identifier: MIT
"""A chaos run that is stopped leaves no process, no mount and no file."""

import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import psutil
import pytest

from tests.running import eventually
from tests.stopping import STOPPED
from tests.system.processes import a_public_directory, is_running, started

IGNORE_SIGINT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Starts Python as a shell does in the background."""


@pytest.mark.timeout(200)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_leaves_nothing_behind(number: signal.Signals) -> None:
    with a_public_directory(on_disk=True) as place:
        command = [sys.executable, "-c", IGNORE_SIGINT, "-m", "tests.chaos", "--users", "2"]
        environment = {"TMPDIR": str(place)}
        async with started(command=command, environment=environment) as run:

            async def has_begun() -> bool:
                assert not run.is_silent, run.output
                return _programs(run.running.pid)["nats-server"] > 0

            await eventually(has_begun)
            children = psutil.Process(run.running.pid).children(recursive=True)

            run.signal(number)

            assert await run.end() == STOPPED, run.output
            await eventually(lambda: _have_ended(children))
            assert list(place.iterdir()) == []
            mounted = [each.mountpoint for each in psutil.disk_partitions(all=True)]
            assert not [each for each in mounted if each.startswith(str(place))]


async def _have_ended(processes: Sequence[psutil.Process]) -> bool:
    return not [each for each in processes if is_running(each.pid)]


def _programs(pid: int) -> Counter[str]:
    """The names of all descendants. One of them, such as `mount`, may end while it is asked."""
    found: Counter[str] = Counter()
    for each in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found[each.name()] += 1
    return found
