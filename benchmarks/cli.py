# SPDX-License-Identifier: MIT
"""python -m benchmarks: measures, or writes the report of earlier results again."""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.keep import Keep
from benchmarks.load import LoadFailed, require_wrk
from benchmarks.measure import CannotMeasure
from benchmarks.plan import (
    ES256,
    HS256,
    KINDS,
    PARTS,
    Plan,
    sweeps,
)
from benchmarks.presets import FULL, QUICK
from benchmarks.report import page
from benchmarks.results import Results
from benchmarks.run import run
from service.dev.direct_connections import connect_directly
from service.dev.homes import EmbeddedPostgresError

DESCRIPTION = """\
Measures this service against what its users would pick instead, on this machine: starts a
PostgreSQL of its own, checks that each contender does the job, and loads it with wrk.

Its parts are: the load, first of users as an app causes it, then in sweeps each of which changes
one thing about the base (sessions that fail, 64 connections, 10,000 sessions there already,
HS256); the recovery of this service from a database that stood still; the flood of one user, and
what others notice of it; its relay, and what it costs; what its metrics cost; and its memory over
time.

With no arguments it measures all contenders in about 50 minutes, without the last part, which takes
more than ten alone: --parts soak --add. Larger tables: --parts load --rows 10000 1000000 10000000
--add. A run that was broken off goes on with --add. --quick measures each kind of load at the base,
once and briefly.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _chosen(_parser().parse_args(given))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also stops the servers
    connect_directly()
    try:
        if options.report:
            results = Results.load(options.report)
        else:
            require_wrk()
            results = run(
                _plan(options),
                data=options.data,
                keep=Keep(options.results, add=options.add, again=options.again),
                command=_command(given),
            )
    except (CannotMeasure, LoadFailed, EmbeddedPostgresError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was measured is kept; --add goes on.", file=sys.stderr)
        return 130
    page.write(results, options.page)
    print(f"See {options.page}")
    return 0


def _chosen(options: argparse.Namespace) -> argparse.Namespace:
    """The given options, completed by the values of the preset."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    preset = QUICK if options.quick else FULL
    return argparse.Namespace(**{"report": None} | preset | given)


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        contenders=tuple(options.contenders),
        scenarios=sweeps(options.kinds, options.connections, options.rows, options.algorithms),
        parts=tuple(options.parts),
        rounds=options.rounds,
        duration=options.duration,
        warm_up=options.warm_up,
        rate_max=options.rate_max,
        soak=options.soak,
        nats_sync=options.nats_sync,
        postgres=dict(options.postgres),
        service=dict(options.service),
    )


def _command(given: Sequence[str]) -> str:
    """The command that repeats this run, without paths of this machine."""
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
    parser.add_argument("--quick", action="store_true", help="try it, in about eight minutes")
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
    group.add_argument(
        "--parts", nargs="+", choices=PARTS, metavar="PART", help=f"some of: {', '.join(PARTS)}"
    )
    group.add_argument(
        "--add", action="store_true",
        help="to the results that are there: measure what they lack, or what was broken off",
    )  # fmt: skip
    group.add_argument(
        "--again", action="store_true", help="with --add: also what they do not lack"
    )
    group.add_argument(
        "--kinds", nargs="+", choices=KINDS, metavar="KIND",
        help=f"of load, some of: {', '.join(KINDS)}",
    )  # fmt: skip
    group.add_argument("--connections", nargs="+", type=int, metavar="N", help="of the clients")
    group.add_argument(
        "--rows", nargs="+", type=int, metavar="N", help="sessions that are there already"
    )
    group.add_argument(
        "--algorithms", nargs="+", choices=[HS256, ES256], help="that tokens are signed with"
    )


def _add_how(group: Any) -> None:
    group.add_argument("--rounds", type=int, metavar="N", help="of which the median is taken")
    group.add_argument("--duration", type=int, metavar="SECONDS", help="of each measurement")
    group.add_argument("--warm-up", type=int, metavar="SECONDS", help="before each of them")
    group.add_argument(
        "--soak", type=int, default=600, metavar="SECONDS",
        help="for which memory is watched (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--rate-max", type=int, default=12_000, metavar="N",
        help="requests a second that are prepared for; an error where they run out (%(default)s)",
    )  # fmt: skip


def _add_settings(group: Any) -> None:
    group.add_argument(
        "--postgres", nargs="+", type=setting, default=[], metavar="NAME=VALUE",
        help="of PostgreSQL: shared_buffers=4GB",
    )  # fmt: skip
    group.add_argument(
        "--nats-sync", default="always", metavar="INTERVAL",
        help="how often the stream that events go to is flushed to disk (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--service", nargs="+", type=setting, default=[], metavar="NAME=VALUE",
        help="of this service: groups_in_flight=1",
    )  # fmt: skip


def _add_where(group: Any) -> None:
    group.add_argument(
        "--data", type=Path, default=Path(".data/benchmarks"), metavar="DIRECTORY",
        help="databases and packages that the next run uses again (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--results", type=Path, metavar="FILE",
        help="what was measured (.data/benchmarks/results.json)",
    )  # fmt: skip
    group.add_argument(
        "--page", type=Path, metavar="FILE",
        help="the report, with its plots in a directory of the same name (docs/benchmarks.md)",
    )  # fmt: skip
    group.add_argument(
        "--report", type=Path, metavar="FILE", help="measure nothing; report these results again"
    )


def setting(given: str) -> tuple[str, str]:
    name, separator, value = given.partition("=")
    if not (name and separator):
        raise ValueError(given)
    return name, value
