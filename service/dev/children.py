# SPDX-License-Identifier: MIT
"""Processes that end with the process that has started them."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STOP_SECONDS = 10
LINES_MAX = 5

_TIED = (
    sys.executable,
    "-S",
    "-c",
    """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
_, parent, *command = sys.argv
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() == int(parent):  # else it was killed already
    os.execvp(command[0], command)
""",
)
"""Runs a command that gets SIGTERM when this process is killed, on Linux."""


class ChildEndedError(Exception):
    """A process has ended by itself. The message says how, with the end of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """`log`: the file for its output; None if it prints."""

    name: str
    process: Process
    log: Path | None

    async def wait(self) -> None:
        """Raises ChildEndedError when it ends."""
        await self.process.wait()
        self.require()

    def require(self) -> None:
        """Raises ChildEndedError if it has ended."""
        if self.process.returncode is None:
            return
        lines = self.read_log().splitlines()
        end = "".join(f"\n  {line}" for line in lines[-LINES_MAX:])
        raise ChildEndedError(f"{self.name} has ended with status {self.process.returncode}.{end}")

    def read_log(self) -> str:
        return self.log.read_text(errors="replace") if self.log else ""


@asynccontextmanager
async def start(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> AsyncIterator[Child]:
    """Runs a process in a session of its own, which a Ctrl-C in the terminal does not reach.

    At the end of the block it gets SIGTERM, and is killed if it does not end.
    """
    output = log.open("w") if log else None
    try:
        process = await asyncio.create_subprocess_exec(
            *_TIED,
            str(os.getpid()),
            *command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        if output:
            output.close()  # the process has its own copy
    try:
        yield Child(name, process, log)
    finally:
        await _stop(process)


async def _stop(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
