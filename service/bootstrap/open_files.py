# SPDX-License-Identifier: MIT
"""The limit of open files: each connection is one."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

RESERVED_MAX = 64
"""For logs, name servers, the key set, and for connections that arrive while others are closed: a
quarter of all, but no more than this."""


def available_for_connections(wanted: int, *, others: int) -> int:
    """How many of `wanted` connections may be open at a time, beside `others`; at least 1.

    Raises the soft limit as far as they need it and the hard limit allows it: the usual soft limit
    of 1024 is for programs that use select(2).
    """
    used = len(list(Path("/dev/fd").iterdir())) + others
    _raise_limit(used + wanted + RESERVED_MAX)
    reserved = min(RESERVED_MAX, limit() // 4)
    return max(1, min(wanted, limit() - used - reserved))


def limit() -> int:
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _raise_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _number(soft) < wanted:
        with suppress(ValueError, OSError):  # macOS has another limit below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, _number(hard)), hard))


def _number(value: int) -> int:
    return sys.maxsize if value == resource.RLIM_INFINITY else value
