# SPDX-License-Identifier: MIT
"""The targets of this service."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.contenders.catalogue import ASYNCPG, BARE, CEILING, FASTAPI, GO, PGBENCH, SERVICE
from benchmarks.plan import APP, BASE, LIVES, READS, REREADS, Scenario
from benchmarks.report import judges
from benchmarks.report.verdicts import (
    IN_HUNDREDTHS,
    IN_PERCENT,
    IN_TENTHS,
    Verdict,
    middle,
    rate,
    ratio,
)
from benchmarks.results import Results

ONE_CONNECTION = replace(BASE, connections=1)
LARGE_TABLES = replace(BASE, rows=10_000_000)


@dataclass(frozen=True)
class Target:
    against: str
    wanted: str
    judge: Callable[[Results], Verdict | None]


def _throughput(
    against: str,
    wanted: str,
    contender: str,
    at_least: float,
    form: str = IN_TENTHS,
    *,
    scenario: Scenario = BASE,
) -> Target:
    """`wanted`: a multiple or a share."""
    this, that = (SERVICE, scenario, rate), (contender, scenario, rate)
    words = f"at least {wanted} its throughput"
    return Target(against, words, ratio(this, that, at_least=at_least, form=form))


BY_HAND = "Starlette + asyncpg by hand"

TARGETS = (
    _throughput(f"as lived: {BY_HAND}", "3.0 ×", ASYNCPG, 3, IN_HUNDREDTHS, scenario=APP),
    _throughput("as lived: FastAPI + ORM", "9 ×", FASTAPI, 9, scenario=APP),
    _throughput("`pgbench`, one transaction per command", "1.2 ×", PGBENCH, 1.2, IN_HUNDREDTHS),
    _throughput(BY_HAND, "2.4 ×", ASYNCPG, 2.4, IN_HUNDREDTHS),
    _throughput("FastAPI + ORM", "7 ×", FASTAPI, 7),
    _throughput("Go + pgx, pipelined", "1.3 ×", GO, 1.3, IN_HUNDREDTHS),
    Target(
        "latency at 1 connection, against asyncpg by hand",
        "at most 1.4 × its median",
        ratio(
            (SERVICE, ONE_CONNECTION, middle),
            (ASYNCPG, ONE_CONNECTION, middle),
            at_most=1.4,
            form=IN_HUNDREDTHS,
        ),
    ),
    _throughput(f"whole lives: {BY_HAND}", "2.5 ×", ASYNCPG, 2.5, IN_HUNDREDTHS, scenario=LIVES),
    _throughput(f"reads: {BY_HAND}", "1.6 ×", ASYNCPG, 1.6, IN_HUNDREDTHS, scenario=READS),
    _throughput(
        f"reads, known tokens: {BY_HAND}", "2.2 ×", ASYNCPG, 2.2, IN_HUNDREDTHS, scenario=REREADS
    ),
    _throughput("reads: own HTTP ceiling", "65 % of", CEILING, 0.65, IN_PERCENT, scenario=READS),
    Target(
        "the HTTP path without a database: bare Starlette",
        "at least 60 % of its throughput",
        ratio((CEILING, BASE, rate), (BARE, BASE, rate), at_least=0.6, form=IN_PERCENT),
    ),
    Target(
        "p99 at 64 connections, outside a stall of the disk",
        "at most 3 × the median",
        judges.tail_without_stalls,
    ),
    Target(
        "1,000 connections",
        "no errors, at least 90 % of the throughput at 64",
        judges.many_connections,
    ),
    Target(
        "10^7 rows against 10^4",
        "at least 85 % of the throughput",
        ratio((SERVICE, LARGE_TABLES, rate), (SERVICE, BASE, rate), at_least=0.85, form=IN_PERCENT),
    ),
    Target(
        "a database that stood still and goes on",
        "throughput is back within 2 s; only 200 and 503 are answered",
        judges.recovery,
    ),
    Target(
        "5,000 commands of one user at once: the median of 50 others",
        "at most 2 × as usual, no refusal",
        judges.flood,
    ),
    Target("the relay: age of the oldest event", "under 1 s", judges.oldest_event),
    Target("the relay: throughput that it costs", "at most 10 %", judges.cost_of_relay),
    Target("metrics: throughput that they cost", "under 3 %", judges.cost_of_metrics),
    Target("memory per worker", "under 120 MiB, flat over 10 minutes of load", judges.memory),
)
