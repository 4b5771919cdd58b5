# SPDX-License-Identifier: MIT
"""python -m tests.faults: the long form, and the table in docs/reliability.md."""

import argparse
import asyncio
import sys
from pathlib import Path

from service.bootstrap import logs
from service.bootstrap.progress import ProgressBar
from service.dev.direct_connections import connect_directly
from service.dev.homes import EmbeddedPostgresError
from tests.faults import report
from tests.faults.found import Found
from tests.faults.growth import Growth, grown
from tests.faults.kept import Kept
from tests.faults.postgres import Postgres, a_migrated_database, a_postgres
from tests.faults.run import run
from tests.faults.scenarios import LONG, Fault
from tests.system.processes import a_service

A_MILLION = 1_000_000
PAGE = Path("docs/reliability.md")
RESULTS = Path(".data/faults.json")


def main() -> int:
    """Returns the exit code: 0 if no answer was untrue, and no event lost, doubled or displaced."""
    options = _parser().parse_args()
    logs.configure("error")
    connect_directly()
    conditions = {"sessions": options.sessions, "seconds": options.seconds}
    kept = Kept(options.results, add=options.add, conditions=conditions)
    try:
        with ProgressBar() as progress, a_postgres() as postgres:
            _cause_all(options, kept, postgres, progress)
            growth = None if options.only else asyncio.run(_growth(postgres))
    except EmbeddedPostgresError as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was found is kept; --add goes on.", file=sys.stderr)
        return 130
    found = {name: kept.found[name] for name in options.only or LONG}
    if growth:
        report.write(found, growth, options.page, sessions=options.sessions)
    return int(not all(each.is_clean for each in found.values()))


def _cause_all(
    options: argparse.Namespace, kept: Kept, postgres: Postgres, progress: ProgressBar
) -> None:
    names = kept.lacking(options.only or LONG)
    progress.begin("faults", len(names), "faults")
    for name in names:
        found = asyncio.run(_measured(LONG[name], postgres, options))
        kept.add(name, found)
        progress.print(f"{name}: {found}")
        progress.advance(1)


async def _measured(fault: Fault, postgres: Postgres, options: argparse.Namespace) -> Found:
    async with (
        a_migrated_database(postgres.cluster) as database,
        a_service(database.api_url) as (_, app),
    ):
        return await run(
            fault, database, app, sessions=options.sessions, seconds=options.seconds,
            postgres=postgres,
        )  # fmt: skip


async def _growth(postgres: Postgres) -> Growth:
    async with a_migrated_database(postgres.cluster) as database:
        return await grown(database, A_MILLION)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Has sessions fail while everything around the relay breaks, and compares"
        " their users' answers, the database and the stream. Takes about ten minutes.",
    )
    parser.add_argument("--sessions", type=int, default=5000, help="for each fault (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=25, help="in which they fail, at least (%(default)s)"
    )
    parser.add_argument("--only", nargs="+", choices=LONG, metavar="FAULT", help="without the page")
    parser.add_argument(
        "--add", action="store_true", help="cause only the faults that an earlier run lacks"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="(%(default)s)")
    parser.add_argument("--page", type=Path, default=PAGE, help="(%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
