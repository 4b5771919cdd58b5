# SPDX-License-Identifier: MIT
"""python -m tests.faults.failover: the long form, and a table in docs/reliability.md."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from service.bootstrap import logs
from service.dev.direct_connections import connect_directly
from tests.faults.failover import report
from tests.faults.failover.run import run
from tests.faults.failover.scenarios import FAILOVERS

PAGE = Path("docs/reliability.md")


def main() -> int:
    """Returns the exit code: 0 if nothing was lost without notice, doubled or untrue."""
    options = _parser().parse_args()
    logs.configure("error")
    connect_directly()
    found = {}
    for name in options.only or FAILOVERS:
        found[name] = asyncio.run(run(name, FAILOVERS[name], commands=options.commands))
        print(f"{name}: {found[name]}", flush=True)
    if not options.only:
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        report.write(found, options.page, commands=options.commands, day=day)
    return int(not all(FAILOVERS[name].is_as_promised(each) for name, each in found.items()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.failover",
        description="Has users send commands while the primary of PostgreSQL is lost, and compares"
        " their answers with the server that takes over, and with the stream.",
    )
    parser.add_argument(
        "--commands", type=int, default=1000, help="acknowledged in each part (%(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=FAILOVERS, metavar="FAILOVER", help="without the page"
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="(%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
