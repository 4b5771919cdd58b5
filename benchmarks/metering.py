# SPDX-License-Identifier: MIT
"""Measures what metrics cost: two servers of this service at once, one with metrics, in turns."""

import threading
from dataclasses import replace
from http.client import HTTPConnection

from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.measure import Bench, naming
from benchmarks.parts import Metered
from benchmarks.plan import BASE
from benchmarks.processes import free_port
from benchmarks.subjects import started
from benchmarks.turns import TURN_SECONDS, in_turns

PAIRS = 20
SECONDS = 2 * (PAIRS + 1) * TURN_SECONDS
"""With a first pair, which warms both servers up."""

SCRAPE_EVERY = 5
"""Turns of the server with metrics: as many seconds as between two scrapes in the Compose file."""

COUNTED = 1
"""The index of the server with metrics."""


def metered(bench: Bench, round_: int) -> Metered:
    """Both write to the same database. Raises CannotMeasure."""
    contender, port = CONTENDERS[SERVICE], free_port()

    def scrape_sometimes(pair: int, server: int) -> None:
        if server == COUNTED and not pair % SCRAPE_EVERY:
            threading.Timer(TURN_SECONDS / 2, _scrape, [port]).start()

    with (
        naming("metrics"),
        bench.setting(contender, BASE) as setting,
        started(contender, setting) as without,
        started(
            contender,
            replace(setting, of_service=setting.of_service | {"metrics_port": str(port)}),
        ) as counted,
    ):
        plain, with_metrics = in_turns(
            (without, counted), bench.cluster, bench.fresh, BASE,
            rounds=PAIRS, before_turn=scrape_sometimes,
        )  # fmt: skip
    return Metered(
        round=round_,
        without=[turn.rate for turn in plain.turns],
        counted=[turn.rate for turn in with_metrics.turns],
        without_cpu=plain.server_cost,
        counted_cpu=with_metrics.server_cost,
        errors=plain.errors + with_metrics.errors,
    )


def _scrape(port: int) -> None:
    """With a client that costs next to nothing, because Prometheus runs elsewhere."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    connection.getresponse().read()
    connection.close()
