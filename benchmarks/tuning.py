# SPDX-License-Identifier: MIT
"""python -m benchmarks.tuning: compares settings of group commit where the defaults must hold.

Compares the defaults with other settings on a fast disk (this machine's), on a slow disk (each
flush of the log takes 5 ms longer: commit_delay) and over a network with a round trip of 1 ms (a
proxy in front of PostgreSQL, whose work takes processor time from the servers). All servers of a
place are up at once and get the load in turns of a second. Ratios are to the defaults.

With no arguments that takes about six minutes.

  python -m benchmarks.tuning --places slow-disk --variant groups_in_flight=2,database_pool_size=12
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from benchmarks.cli import setting
from benchmarks.cluster import LOGIN
from benchmarks.compare import table
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.entrants import Entrant, all_started
from benchmarks.load import LoadFailed, require_wrk
from benchmarks.machine import warn_about_python
from benchmarks.measure import Bench, CannotMeasure, naming
from benchmarks.network import delaying
from benchmarks.plan import BASE, Plan, Scenario
from benchmarks.run import preparing
from benchmarks.subjects import Setting
from benchmarks.turns import Series, in_turns, plan_of_turns
from service.dev.direct_connections import connect_directly
from service.dev.homes import EmbeddedPostgresError

FLUSH_MICROSECONDS = 5_000
ONE_WAY_SECONDS = 0.0005
PORT = 5432
"""In the name of PostgreSQL's socket."""

POOL = {"database_pool_size": "12"}
"""Connections for four groups of commands and four of reads."""

VARIANTS: tuple[Mapping[str, str], ...] = (
    {"group_size_max": "32"},
    {"group_size_max": "64"},
    {"groups_in_flight": "2"},
    {"groups_in_flight": "4"} | POOL,
    {"workers": "1"},
    {"workers": "4"},
)

Place = Callable[[Setting], AbstractContextManager[Setting]]
"""The setting of the servers, with a slower database."""


@contextmanager
def _slow_disk(place: Setting) -> Iterator[Setting]:
    """Also a commit that no other one waits for is delayed: no siblings are needed."""
    for name, value in {"commit_delay": FLUSH_MICROSECONDS, "commit_siblings": 0}.items():
        place.cluster.execute("postgres", f"ALTER DATABASE {place.database} SET {name} = {value}")
    yield place


@contextmanager
def _network(place: Setting) -> Iterator[Setting]:
    socket = place.cluster.server.socket_dir / f".s.PGSQL.{PORT}"
    with delaying(socket, ONE_WAY_SECONDS) as port:
        url = f"postgresql://{LOGIN}@127.0.0.1:{port}/{place.database}?sslmode=disable"
        yield replace(place, of_service=place.of_service | {"database_url": url})


PLACES: dict[str, Place] = {"fast-disk": nullcontext, "slow-disk": _slow_disk, "network": _network}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also stops the servers
    connect_directly()
    warn_about_python()
    chosen = entrants_of(options.variant or VARIANTS)
    try:
        require_wrk()
        with preparing(_plan(options, len(chosen)), options.data) as bench:
            for place in options.places:
                for scenario in bench.plan.scenarios:
                    found = _compared(bench, PLACES[place], scenario, chosen)
                    print(f"\n{place}, {scenario.connections} connections")
                    print(*table([each.title for each in chosen], found), sep="\n", flush=True)
    except (CannotMeasure, LoadFailed, EmbeddedPostgresError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def entrants_of(variants: Sequence[Mapping[str, str]]) -> list[Entrant]:
    """The defaults, and then the variants."""
    settings: list[Mapping[str, str]] = [{}, *variants]
    return [
        Entrant(", ".join(map("=".join, each.items())) or "defaults", CONTENDERS[SERVICE], {**each})
        for each in settings
    ]


def _compared(
    bench: Bench, place: Place, scenario: Scenario, chosen: Sequence[Entrant]
) -> list[Series]:
    with (
        naming(f"{scenario}"),
        bench.setting(CONTENDERS[SERVICE], scenario) as usual,
        place(usual) as slower,
        all_started(chosen, slower) as servers,
    ):
        rounds = bench.plan.rounds
        return in_turns(servers, bench.cluster, bench.fresh, scenario, rounds=rounds)


def _plan(options: argparse.Namespace, servers: int) -> Plan:
    """Of one place."""
    scenarios = [replace(BASE, connections=each) for each in options.connections]
    return plan_of_turns(
        scenarios, servers=servers, rounds=options.rounds, rate_max=options.rate_max
    )


def variant(given: str) -> Mapping[str, str]:
    return dict(setting(each) for each in given.split(","))


def _parser() -> argparse.ArgumentParser:
    summary, _, details = (__doc__ or "").partition(": ")
    parser = argparse.ArgumentParser(
        prog=summary, description=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--places", nargs="+", choices=PLACES, default=list(PLACES))
    parser.add_argument("--connections", nargs="+", type=int, default=[64, 256], metavar="N")
    parser.add_argument("--variant", nargs="+", type=variant, metavar="NAME=VALUE[,…]")
    parser.add_argument("--rounds", type=int, default=4, metavar="N")
    parser.add_argument("--rate-max", type=int, default=12000, metavar="N")
    parser.add_argument("--data", type=Path, default=Path(".data/benchmarks"), metavar="DIRECTORY")
    return parser


if __name__ == "__main__":
    sys.exit(main())
