"""python -m benchmarks: measures, or reports again what was measured."""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.load import LoadFailed, require_wrk
from benchmarks.measure import CannotMeasure
from benchmarks.plan import ES256, HS256, Plan, sweeps
from benchmarks.results import Results
from benchmarks.run import run
from service.embedded import EmbeddedPostgresError

DESCRIPTION = """\
Measures this service against what its users would pick instead, on this machine: starts a
PostgreSQL of its own, checks that each contender does the job, and loads it with wrk.

Each sweep changes one thing about the base: 64 connections, 10,000 sessions, HS256.
With no arguments all sweeps are measured, which takes about an hour and a half;
--quick measures the base alone, once and briefly.
"""
FULL: dict[str, Any] = {
    "connections": [1, 8, 64, 256, 1000],
    "rows": [10_000, 1_000_000, 10_000_000],
    "algorithms": [HS256, ES256],
    "rounds": 3,
    "duration": 10,
    "warm_up": 3,
    "soak": 600,
    "results": Path(".data/benchmarks/results.json"),
    "page": Path("docs/benchmarks.md"),
}
QUICK: dict[str, Any] = {
    "connections": [64],
    "rows": [10_000],
    "algorithms": [HS256],
    "rounds": 1,
    "duration": 3,
    "warm_up": 2,
    "soak": 0,
    "results": Path(".data/benchmarks/quick.json"),
    "page": Path(".data/benchmarks/quick.md"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _chosen(_parser().parse_args(given))
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # stops what was started, too
    try:
        if options.report:
            results = Results.load(options.report)
        else:
            require_wrk()
            results = run(
                _plan(options), data=options.data, keep=options.results, command=_command(given)
            )
    except (CannotMeasure, LoadFailed, EmbeddedPostgresError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was measured is kept.", file=sys.stderr)
        return 130
    report.write(results, options.page)
    print(f"See {options.page}")
    return 0


def _chosen(options: argparse.Namespace) -> argparse.Namespace:
    """What was given, and the preset's values for the rest."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    preset = QUICK if options.quick else FULL
    return argparse.Namespace(**{"report": None} | preset | given)


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        contenders=tuple(options.contenders),
        scenarios=sweeps(options.connections, options.rows, options.algorithms),
        rounds=options.rounds,
        duration=options.duration,
        warm_up=options.warm_up,
        rate_max=options.rate_max,
        soak=options.soak,
        postgres=dict(options.postgres),
        service=dict(options.service),
    )


def _command(given: Sequence[str]) -> str:
    """What anybody would type for the same figures: without places on this machine."""
    places = argparse.ArgumentParser(add_help=False)
    _add_where(places)
    _, others = places.parse_known_args(given)
    return shlex.join(["python", "-m", "benchmarks", *others])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="try it, in about two minutes")
    _add_what(parser.add_argument_group("what to measure"))
    _add_how(parser.add_argument_group("how to measure it"))
    _add_settings(parser.add_argument_group("settings other than the stated ones"))
    _add_where(parser.add_argument_group("where things go"))
    return parser


def _add_what(group: Any) -> None:
    group.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME",
        help=f"some of: {', '.join(CONTENDERS)}",
    )  # fmt: skip
    group.add_argument("--connections", nargs="+", type=int, metavar="N", help="of the clients")
    group.add_argument(
        "--rows", nargs="+", type=int, metavar="N", help="sessions that are there already"
    )
    group.add_argument(
        "--algorithms", nargs="+", choices=[HS256, ES256], help="that tokens are signed with"
    )
    group.add_argument(
        "--soak", type=int, metavar="SECONDS",
        help="then load this service for so long, and watch its memory",
    )  # fmt: skip


def _add_how(group: Any) -> None:
    group.add_argument("--rounds", type=int, metavar="N", help="of which the median is taken")
    group.add_argument("--duration", type=int, metavar="SECONDS", help="of each measurement")
    group.add_argument("--warm-up", type=int, metavar="SECONDS", help="before each of them")
    group.add_argument(
        "--rate-max", type=int, default=20_000, metavar="N",
        help="requests a second that are prepared for; an error where they run out (%(default)s)",
    )  # fmt: skip


def _add_settings(group: Any) -> None:
    group.add_argument(
        "--postgres", nargs="+", type=_setting, default=[], metavar="NAME=VALUE",
        help="of PostgreSQL: shared_buffers=4GB",
    )  # fmt: skip
    group.add_argument(
        "--service", nargs="+", type=_setting, default=[], metavar="NAME=VALUE",
        help="of this service: groups_in_flight=1",
    )  # fmt: skip


def _add_where(group: Any) -> None:
    group.add_argument(
        "--data", type=Path, default=Path(".data/benchmarks"), metavar="DIRECTORY",
        help="databases and packages that the next run uses again (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--results", type=Path, default=Path(".data/benchmarks/results.json"), metavar="FILE",
        help="what was measured (.data/benchmarks/results.json)",
    )  # fmt: skip
    group.add_argument(
        "--page", type=Path, default=Path("docs/benchmarks.md"), metavar="FILE",
        help="the report, with its plots in a directory of the same name (docs/benchmarks.md)",
    )  # fmt: skip
    group.add_argument(
        "--report", type=Path, metavar="FILE", help="measure nothing; report these results again"
    )


def _setting(given: str) -> tuple[str, str]:
    name, separator, value = given.partition("=")
    if not (name and separator):
        raise ValueError(given)
    return name, value
