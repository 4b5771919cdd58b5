# SPDX-License-Identifier: MIT
"""Stops processes in the middle of whatever they do, as a machine does that is out of time."""

import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from tests.running import eventually


async def freeze(*processes: int) -> None:
    """Sends SIGSTOP to the processes of these numbers, and waits until they have stopped.

    A process that waits for a processor stops only when it gets one, and handles the signals of
    lower numbers first, among them a SIGTERM that is sent after SIGSTOP.
    """
    found = [psutil.Process(each) for each in processes]
    for each in found:
        each.suspend()

    async def have_stopped() -> bool:
        return all(each.status() == psutil.STATUS_STOPPED for each in found)

    await eventually(have_stopped)


@asynccontextmanager
async def frozen(*processes: int) -> AsyncIterator[None]:
    try:
        await freeze(*processes)
        yield
    finally:
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(each).resume()


def will_find(process: int, sent: signal.Signals) -> bool:
    """True if the signal waits for the process, which is frozen (proc_pid_status(5))."""
    status = Path(f"/proc/{process}/status").read_text()
    waiting = int(re.findall(r"^ShdPnd:\s(\w+)", status, re.MULTILINE)[0], 16)
    return bool(waiting & 1 << (sent - 1))
