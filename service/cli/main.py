# SPDX-License-Identifier: MIT
"""The command line: python -m service COMMAND.

Each command imports its modules when it runs, so the relay loads no web framework.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from service import __version__
from service.bootstrap.settings import WrongSettings
from service.cli import api, check, database, development, events, retention

DESCRIPTION = """\
Training sessions: planned -> in_progress -> completed | failed, correctly under any race.

Settings are environment variables with the prefix SERVICE_; docs/configuration.md lists them.
To try the service on this machine without setup:  {program} demo
"""

SCRIPT = "training-sessions"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0; 1 after a failure; 2 for a wrong setting or argument."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except WrongSettings as exc:
        print(exc, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    program = SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m service"
    parser = argparse.ArgumentParser(
        prog=program,
        description=DESCRIPTION.format(program=program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{SCRIPT} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    development.add_to(commands)
    api.add_to(commands)
    database.add_to(commands)
    check.add_to(commands)
    events.add_to(commands)
    retention.add_to(commands)
    return parser
