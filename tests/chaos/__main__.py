# SPDX-License-Identifier: MIT
"""python -m tests.chaos --minutes 5 --seed 1: breaks all parts at random, and judges answers."""

import argparse
import asyncio
import secrets
import sys
from pathlib import Path

from service.bootstrap import logs
from service.dev.direct_connections import connect_directly
from tests.chaos.report import Report
from tests.chaos.run import run
from tests.guardian import guard_this_run
from tests.stopping import STOPPED, stop_in_order
from tests.system.processes import a_public_directory


def main() -> int:
    """Returns the exit code: 0 if nothing was wrong."""
    options = _parser().parse_args()
    stop_in_order()
    guard_this_run()
    logs.configure("error")
    connect_directly()
    print(
        f"--minutes {options.minutes:g} --seed {options.seed} --users {options.users}", flush=True
    )
    try:
        found = _run(options)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return STOPPED
    print(found.text())
    for place in options.report:
        found.write(place)
    return int(not found.is_clean)


def _run(options: argparse.Namespace) -> Report:
    with a_public_directory(on_disk=True) as place:
        return asyncio.run(
            run(
                seed=options.seed,
                minutes=options.minutes,
                users=options.users,
                place=place,
                only=options.only,
            )
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Users live whole lives through two replicas while faults of all kinds happen;"
        " every answer is compared with the database, the stream and a model.",
    )
    parser.add_argument("--minutes", type=float, default=5, help="of the run (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10_000), help="of all choices (random)"
    )
    parser.add_argument("--users", type=int, default=100, help="at a time (%(default)s)")
    parser.add_argument("--only", default="", help="the faults whose names have this in them")
    parser.add_argument(
        "--report", type=Path, action="append", default=[], help="a file to write, .json or .md"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
