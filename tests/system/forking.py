# SPDX-License-Identifier: MIT
"""Runs many commands of the service as processes, each forked from one that has imported it.

A new interpreter takes a second for each command; a fork takes some milliseconds.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.system.processes import ROOT, without_settings

TIME_LIMIT_SECONDS = 60
IMPORTED_BY_COMMANDS = (
    "alembic.command",
    "httpx2",
    "service.bootstrap.check.running",
    "service.bootstrap.migrations",
    "service.bootstrap.relay",
    "service.bootstrap.server",
    "service.cli.api",
    "service.cli.events",
    "service.dev.tokens",
    "service.dev.tour",
)


@dataclass(frozen=True)
class Done:
    code: int
    output: str


class Forker:
    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def run(self, *arguments: str, environment: Mapping[str, str]) -> Done:
        """Runs `python -m service` with these arguments to its end."""
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps([arguments, dict(environment)]) + "\n")
        self._server.stdin.flush()
        return Done(*json.loads(self._server.stdout.readline()))


@contextmanager
def a_forker() -> Iterator[Forker]:
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        env=without_settings(),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield Forker(server)
        assert server.stdin
        server.stdin.close()  # it ends


def _serve() -> None:
    for module in IMPORTED_BY_COMMANDS:
        __import__(module)
    for line in sys.stdin:
        arguments, environment = json.loads(line)
        sys.stdout.write(json.dumps(_run(arguments, environment)) + "\n")
        sys.stdout.flush()


def _run(arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            for standard in (1, 2):
                os.dup2(output.fileno(), standard)
            os._exit(_execute(arguments, environment))
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().decode(errors="replace")


def _execute(arguments: list[str], environment: dict[str, str]) -> int:
    """As the interpreter does for `python -m service`: with a traceback if all else fails."""
    from service.cli.main import main  # noqa: PLC0415  the tests' process only starts this one

    signal.alarm(TIME_LIMIT_SECONDS)
    os.environ.update(environment)
    try:
        return main(arguments)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
    except BaseException:  # noqa: BLE001  the traceback is what the user would see
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve()
