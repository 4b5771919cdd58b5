# SPDX-License-Identifier: MIT
"""`freeze`, on which tests rely that decide what a process finds when it goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.freezing import frozen, will_find
from tests.running import eventually

BUSY = """
import signal
signal.signal(signal.SIGTERM, lambda *_: None)
print("ready", flush=True)
while True:
    pass
"""


@pytest.fixture
def busy() -> Iterator[psutil.Popen]:
    """One of four processes that share the processor of this one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    command = (sys.executable, "-c", BUSY)
    found = [psutil.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for each in found:
            assert each.stdout.readline() == b"ready\n"
        yield found[0]
    finally:
        for each in found:
            each.kill()
            each.communicate()
        os.sched_setaffinity(0, before)


async def test_a_process_that_waits_for_a_processor_handles_no_later_signal(
    busy: psutil.Popen,
) -> None:
    async def has_stopped() -> bool:
        return bool(busy.status() == psutil.STATUS_STOPPED)

    async with frozen(busy.pid):
        busy.send_signal(signal.SIGTERM)
        await eventually(has_stopped)

        assert will_find(busy.pid, signal.SIGTERM)
