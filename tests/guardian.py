# SPDX-License-Identifier: MIT
"""python -m tests.guardian MARK: stops the servers of a test run that was killed.

The run holds the other end of standard input, so end of file means that the run has ended, in
whatever way. Processes that the run started have its mark in their environment.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

MARK = "TEST_RUN_MARK"

_guardians: list[subprocess.Popen[bytes]] = []
"""Kept, because the pipe is closed with the object."""


def guard_this_run() -> None:
    """Marks the processes that this process starts, and starts their guardian, once for a run."""
    if MARK in os.environ:
        return
    os.environ[MARK] = uuid4().hex
    _guardians.append(
        subprocess.Popen(
            [sys.executable, "-m", "tests.guardian", os.environ[MARK]],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )
    )


def main(mark: str) -> None:
    sys.stdin.read()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                # PostgreSQL removes its shared memory on SIGQUIT, and its children end with it.
                is_postgres = process.name().startswith("postgres")
                process.send_signal(signal.SIGQUIT if is_postgres else signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
