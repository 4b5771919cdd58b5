# SPDX-License-Identifier: MIT
"""python -m benchmarks.compare: compares servers in turns of a second, all of them up at once.

Compares contenders, other checkouts or revisions of this service, and this service with other
settings or another interpreter. Figures are relative to the first server. The order: --against,
the named contenders (this service, if none is named), --variant, --python. The median of the
ratios of neighbouring turns resolves a difference of 5 %; the same server twice shows the noise.
All servers use one database, and none is checked.

  python -m benchmarks.compare service service
  python -m benchmarks.compare --against main
  python -m benchmarks.compare --kind read starlette-asyncpg service
  python -m benchmarks.compare --variant groups_in_flight=4 group_size_max=64
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.checkouts import NoCheckout
from benchmarks.cli import setting
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.contenders.toolchains import NotHere
from benchmarks.entrants import Entrant, all_started, entrants
from benchmarks.load import LoadFailed, require_wrk
from benchmarks.machine import warn_about_python
from benchmarks.measure import Bench, CannotMeasure, naming
from benchmarks.plan import BASE, ES256, HS256, KINDS, Plan, Scenario
from benchmarks.run import preparing
from benchmarks.turns import Ratio, Series, in_turns, plan_of_turns
from service.dev.direct_connections import connect_directly
from service.dev.homes import EmbeddedPostgresError

SERVERS = [name for name, contender in CONTENDERS.items() if contender.start]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also stops the servers
    connect_directly()
    warn_about_python()
    try:
        require_wrk()
        with entrants(
            against=options.against,
            contenders=options.contenders,
            variants=options.variant,
            interpreters=options.python,
        ) as chosen:
            _prepare(chosen, options.data)
            with preparing(_plan(options, len(chosen)), options.data) as bench:
                found = _compared(bench, chosen)
    except (CannotMeasure, LoadFailed, EmbeddedPostgresError, NoCheckout, NotHere) as exc:
        print(exc, file=sys.stderr)
        return 1
    print(*table([each.title for each in chosen], found), sep="\n")
    return 0


def _prepare(chosen: Sequence[Entrant], data: Path) -> None:
    for each in chosen:
        if each.contender.prepare:
            each.contender.prepare(data)


def _plan(options: argparse.Namespace, servers: int) -> Plan:
    scenario = Scenario(options.kind, options.connections, options.rows, options.algorithm)
    return plan_of_turns(
        [scenario], servers=servers, rounds=options.rounds, rate_max=options.rate_max
    )


def _compared(bench: Bench, chosen: Sequence[Entrant]) -> list[Series]:
    [scenario], rounds = bench.plan.scenarios, bench.plan.rounds
    with (
        naming(f"{scenario}"),
        bench.setting(CONTENDERS[SERVICE], scenario) as place,
        all_started(chosen, place) as servers,
    ):
        print(f"{rounds} rounds of a second for each of {len(servers)} servers ...", flush=True)
        return in_turns(servers, bench.cluster, bench.fresh, scenario, rounds=rounds)


def table(titles: Sequence[str], series: Sequence[Series]) -> Iterator[str]:
    """CPU: seconds for 1,000 requests. Ratios: the median and, in brackets, the quartiles."""
    width = max(map(len, titles))
    yield (
        f"{'':{width}}  {'requests/s':>10}  {'ratio':>18}  {'server CPU':>10}  {'ratio':>18}"
        f"  {'PostgreSQL CPU':>14}  {'wrk CPU':>7}  {'p50 ms':>7}  {'p99 ms':>7}  {'errors':>6}"
    )
    for title, each in zip(titles, series, strict=True):
        yield (
            f"{title:{width}}  {each.rate:10,.0f}"
            f"  {_words(each.throughput_against(series[0])):>18}  {each.server_cost:10.3f}"
            f"  {_words(each.cost_against(series[0])):>18}  {each.database_cost:14.3f}"
            f"  {each.generator_cost:7.3f}"
            f"  {each.p50:7.1f}  {each.p99:7.1f}  {each.errors:6,}"
        )


def _words(ratio: Ratio) -> str:
    return f"{ratio.median:.3f} ({ratio.lower:.2f}–{ratio.upper:.2f})"


def _server(name: str) -> str:
    """Not given as choices, which argparse also asks of no name at all."""
    if name not in SERVERS:
        raise argparse.ArgumentTypeError(f"{name} is none of: {', '.join(SERVERS)}")
    return name


def _parser() -> argparse.ArgumentParser:
    summary, _, details = (__doc__ or "").partition(": ")
    parser = argparse.ArgumentParser(
        prog=summary, description=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "contenders", nargs="*", type=_server, metavar="NAME", help=f"of: {', '.join(SERVERS)}"
    )
    parser.add_argument("--against", nargs="+", default=[], metavar="PATH_OR_REVISION")
    parser.add_argument("--variant", nargs="+", default=[], type=setting, metavar="NAME=VALUE")
    parser.add_argument("--python", nargs="+", default=[], metavar="INTERPRETER")
    parser.add_argument("--rounds", type=int, default=20, metavar="N")
    parser.add_argument("--kind", choices=KINDS, default=BASE.kind)
    parser.add_argument("--connections", type=int, default=BASE.connections, metavar="N")
    parser.add_argument("--rows", type=int, default=BASE.rows, metavar="N")
    parser.add_argument("--algorithm", choices=[HS256, ES256], default=BASE.algorithm)
    parser.add_argument("--rate-max", type=int, default=12000, metavar="N")
    parser.add_argument("--data", type=Path, default=Path(".data/benchmarks"), metavar="DIRECTORY")
    return parser


if __name__ == "__main__":
    sys.exit(main())
