# SPDX-License-Identifier: MIT
"""python -m tests.faults.brokers: harms brokers in all ways, and writes the tables of the page."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

from service.bootstrap import logs
from service.dev.direct_connections import connect_directly
from tests.faults.brokers import report
from tests.faults.brokers.durability import CASES, Survived, survive
from tests.faults.brokers.flips import Harm, a_damaged_broker
from tests.faults.brokers.power import can_cut_power
from tests.faults.brokers.run import run
from tests.faults.brokers.scenarios import FAULTS, ON_SMALL_DISKS
from tests.faults.brokers.world import a_world
from tests.faults.found import Found, table
from tests.faults.postgres import Postgres, a_migrated_database, a_postgres
from tests.guardian import guard_this_run
from tests.stopping import STOPPED, stop_in_order
from tests.system.processes import a_public_directory, a_service

PAGE = Path("docs/reliability.md")
T = TypeVar("T")


def main() -> int:
    """Returns the exit code: 0 if nothing was lost that was not found and mended."""
    options = _parser().parse_args()
    stop_in_order()
    guard_this_run()
    logs.configure("critical")
    connect_directly()
    try:
        with a_postgres() as postgres:
            are_clean = [PARTS[part](options, postgres) for part in options.parts]
    except KeyboardInterrupt:
        return STOPPED
    return int(not all(are_clean))


def _faults(options: argparse.Namespace, postgres: Postgres) -> bool:
    async def measured(name: str, place: Path) -> Found:
        async with (
            a_migrated_database(postgres.cluster) as database,
            a_service(database.api_url) as (_, app),
            a_world(database, app, place) as world,
        ):
            return await run(FAULTS[name], world, users=options.users, seconds=options.seconds)

    names = [name for name in FAULTS if options.only in name]
    if not can_cut_power():
        names = [name for name in names if name not in ON_SMALL_DISKS]
        print("full disks are left out: only root can mount a small tmpfs")
    found = {name: _shown(name, measured) for name in names}
    if not options.only:
        report.write("faults", table(found), options.page)
    return all(each.is_clean for each in found.values())


def _durability(options: argparse.Namespace, postgres: Postgres) -> bool:
    async def measured(name: str, place: Path) -> Survived:
        async with a_migrated_database(postgres.cluster) as database:
            return await survive(CASES[name], database, place)

    if not can_cut_power():
        print("durability is left out: only root can mount a disk that loses power")
        return True
    found = {name: _shown(name, measured) for name in CASES if options.only in name}
    if not options.only:
        report.write("durability", report.of_durability(found), options.page)
    return all(each.is_mended for each in found.values())


def _flips(options: argparse.Namespace, postgres: Postgres) -> bool:
    async def measured(_name: str, place: Path) -> list[Harm]:
        async with (
            a_migrated_database(postgres.cluster) as database,
            a_damaged_broker(database, place) as broker,
        ):
            return [
                await broker.harm(flip)
                for flip in broker.flips(options.seed)
                if options.only in flip.field
            ]

    found = _shown("flips", measured)
    if not options.only:
        report.write("flips", report.of_flips(found), options.page)
    return all(each.is_mended for each in found)


PARTS: dict[str, Callable[[argparse.Namespace, Postgres], bool]] = {
    "faults": _faults,
    "flips": _flips,
    "durability": _durability,
}


def _shown(name: str, measured: Callable[[str, Path], Coroutine[None, None, T]]) -> T:
    """Runs it in an empty directory, and prints the result."""
    with a_public_directory(on_disk=True) as place:
        found = asyncio.run(measured(name, place))
    print(f"{name}: {found}", flush=True)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.brokers",
        description="Kills, partitions, fills and damages brokers while events are published, and"
        " compares the events in the database with those in the stream. Takes half an hour.",
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="(all)")
    parser.add_argument("--users", type=int, default=10, help="for each fault (%(default)s)")
    parser.add_argument("--seconds", type=float, default=12, help="of each fault (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the flipped bits (%(default)s)")
    parser.add_argument("--only", default="", help="what has this in its name; without the page")
    parser.add_argument("--page", type=Path, default=PAGE, help="(%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
