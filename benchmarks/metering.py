# SPDX-License-Identifier: MIT
"""Measures what metrics cost: two servers of this service at once, one with metrics, in turns."""

import threading
from dataclasses import replace
from http.client import HTTPConnection

from benchmarks import load
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.fresh import Share
from benchmarks.measure import Bench, naming
from benchmarks.plan import BASE
from benchmarks.processes import free_port
from benchmarks.results import Metered
from benchmarks.subjects import started

PAIRS = 20
TURN_SECONDS = 1
SECONDS = 2 * (PAIRS + 1) * TURN_SECONDS
"""With a first pair, which warms both servers up."""

SCRAPE_EVERY = 5
"""Turns of the server with metrics: as many seconds as between two scrapes in the Compose file."""


def metered(bench: Bench, round_: int) -> Metered:
    """Both write to the same database. The second of a pair is the first of the next one.

    Raises CannotMeasure.
    """
    contender, port = CONTENDERS[SERVICE], free_port()
    with (
        naming("metrics"),
        bench.setting(contender, BASE) as setting,
        started(contender, setting) as without,
        started(
            contender,
            replace(setting, of_service=setting.of_service | {"metrics_port": str(port)}),
        ) as counted,
    ):
        size = bench.fresh.count // (2 * (PAIRS + 1))
        seen: dict[bool, list[load.Load]] = {False: [], True: []}
        used = {False: 0.0, True: 0.0}
        for turn in range(2 * (PAIRS + 1)):
            is_counted = turn % 4 in (1, 2)
            share = Share(turn * size, size)
            if is_counted and not len(seen[True]) % SCRAPE_EVERY:
                _scrape_during_the_turn(port)
            server = counted if is_counted else without
            before = server.cpu_seconds()
            one = load.over_http(server.url, setting.fresh, share, BASE, TURN_SECONDS)
            used[is_counted] += server.cpu_seconds() - before
            seen[is_counted].append(one)
    return Metered(
        round=round_,
        without=_rates(seen[False]),
        counted=_rates(seen[True]),
        without_cpu=_per_thousand(used[False], seen[False]),
        counted_cpu=_per_thousand(used[True], seen[True]),
        errors=sum(each.errors for each in (*seen[False], *seen[True])),
    )


def _rates(loads: list[load.Load]) -> list[float]:
    return [each.succeeded / each.seconds for each in loads[1:]]


def _per_thousand(seconds: float, loads: list[load.Load]) -> float:
    return 1000 * seconds / max(sum(each.succeeded for each in loads), 1)


def _scrape_during_the_turn(port: int) -> None:
    threading.Timer(TURN_SECONDS / 2, _scrape, [port]).start()


def _scrape(port: int) -> None:
    """With a client that costs next to nothing, because Prometheus runs elsewhere."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    connection.getresponse().read()
    connection.close()
