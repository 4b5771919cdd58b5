# SPDX-License-Identifier: MIT
"""Runs the commands of install.py, several at once, and shows what they print."""

import os
import signal
import subprocess


def run_all(
    commands: list[list[str]], lock: int, *, shown: bool = False, **environment: str
) -> tuple[str, int]:
    """Runs the commands at once; returns their output, and 0 if all succeeded.

    Each has a pipe of its own, which is read to its end before the next: processes that print the
    parts of a line one by one would mix their lines in one pipe.

    On an interruption, kills them with all that they started.
    """
    lines = []
    running: list[subprocess.Popen[str]] = []
    try:
        running.extend(_start(command, lock, environment) for command in commands)
        for process in running:
            is_traceback = False
            for line in process.stdout or ():
                lines.append(line)
                is_traceback = line.startswith("Traceback" if not is_traceback else (" ", "Trace"))
                if shown and not is_traceback:
                    print(line, end="", flush=True)
    except KeyboardInterrupt:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    return "".join(lines), sum(process.wait() != 0 for process in running)


def _start(command: list[str], lock: int, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | environment,
        pass_fds=[lock],
        process_group=0,  # Ctrl-C would let it print a traceback
    )
