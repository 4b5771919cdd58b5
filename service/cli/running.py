# SPDX-License-Identifier: MIT
"""Runs a command that is asynchronous, and says in a sentence why it failed or was stopped."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from service.application.errors import DependencyUnavailable, TransactionFailed, WrongLogin
from service.cli.arguments import fail
from service.relay.errors import BrokerUnavailable, WrongStream

STOPPED = 130
"""The exit code of a command that Ctrl-C stopped, as shells have it: 128 and SIGINT."""


def run(command: Coroutine[Any, Any, int], *, if_stopped: Callable[[], str]) -> int:
    """`if_stopped`: what to print after Ctrl-C."""
    from uvicorn.loops.auto import auto_loop_factory  # noqa: PLC0415  uvloop where it is installed

    from service.bootstrap.metrics import CannotListen  # noqa: PLC0415  the server, too
    from service.persistence.errors import DRIVER_ERRORS, explain  # noqa: PLC0415  as SQLAlchemy

    try:
        with stops_by_exception(), asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            return runner.run(command)
    except KeyboardInterrupt:
        return stopped(if_stopped())
    except BrokerUnavailable as exc:
        return fail(f"The broker is not available: {exc}.")
    except (WrongStream, WrongLogin, CannotListen) as exc:
        return fail(str(exc))
    except (DependencyUnavailable, TransactionFailed, *DRIVER_ERRORS) as exc:
        return fail(explain(exc))


@contextmanager
def stops_by_exception() -> Iterator[None]:
    """In the block, Ctrl-C raises KeyboardInterrupt; else it ends the process in silence."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stopped(sentence: str) -> int:
    print(f"\n{sentence}" if sys.stderr.isatty() else sentence, file=sys.stderr)
    return STOPPED
