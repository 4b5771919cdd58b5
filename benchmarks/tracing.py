# SPDX-License-Identifier: MIT
"""python -m benchmarks.tracing: measures what tracing costs the API, switched on and off.

The variants take turns, so that disturbances of the machine affect all alike. A collector on the
same machine takes the spans, and throws them away; its processor time is not counted.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders.catalogue import CONTENDERS, SERVICE, Contender, Site, Start
from benchmarks.load import require_wrk
from benchmarks.machine import warn_about_python
from benchmarks.measure import Bench
from benchmarks.parts import Measurement
from benchmarks.plan import BASE, LOAD, Plan
from benchmarks.run import preparing
from service.dev.direct_connections import connect_directly

RATE_MAX = 6000


@dataclass
class Variant:
    title: str
    tracing: bool = False
    sampled: float = 1
    directory: Path | None = None
    seen: list[Measurement] = field(default_factory=list)

    def contender(self, collector: str) -> Contender:
        """This service, with the variables of OpenTelemetry."""
        inner = CONTENDERS[SERVICE].start
        assert inner  # noqa: S101  it is a server

        def start(site: Site) -> Start:
            begun = inner(site)
            return replace(
                begun,
                environment=begun.environment | self._environment(collector),
                directory=self.directory or begun.directory,
            )

        return replace(CONTENDERS[SERVICE], title=self.title, start=start)

    def _environment(self, collector: str) -> dict[str, str]:
        if not self.tracing:
            return {}
        return {
            "SERVICE_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(self.sampled),
        }


def main() -> None:
    options = _parser().parse_args()
    warn_about_python()
    require_wrk()
    connect_directly()
    variants = [
        Variant("off"),
        Variant("on, 1 % sampled", tracing=True, sampled=0.01),
        Variant("on, all sampled", tracing=True),
    ]
    if options.beside:
        variants.insert(0, Variant("the other checkout", directory=options.beside.resolve()))
    with preparing(_plan(options), options.data) as bench, _collector() as collector:
        for round_ in range(1, options.rounds + 1):
            _measure(bench, variants, round_, collector)
    for each in variants:
        print(_line(each, variants[0]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--duration", type=int, default=5, metavar="SECONDS")
    parser.add_argument(
        "--beside", type=Path, metavar="DIRECTORY", help="a checkout to compare with, by its code"
    )
    parser.add_argument("--data", type=Path, default=Path(".data/benchmarks"))
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        contenders=(SERVICE,),
        scenarios=(BASE,),
        parts=(LOAD,),
        rounds=options.rounds,
        duration=options.duration,
        warm_up=1,
        rate_max=RATE_MAX,
        soak=0,
        nats_sync="always",
    )


def _measure(bench: Bench, variants: list[Variant], round_: int, collector: str) -> None:
    for each in variants if round_ % 2 else variants[::-1]:
        seen = bench.measure(each.contender(collector), BASE, round_)
        each.seen.append(seen)
        print(f"{round_} {each.title}: {seen.server_cpu * 1000:.0f} us", flush=True)


def _line(variant: Variant, first: Variant) -> str:
    """Processor time tells more than requests a second: others do not disturb it as much."""
    spent = [each.server_cpu * 1000 for each in variant.seen]
    rates = [each.requests_per_second for each in variant.seen]
    by_round = zip(variant.seen, first.seen, strict=True)
    ratios = [each.server_cpu / base.server_cpu for each, base in by_round]
    return (
        f"{variant.title}: {median(spent):.0f} us of the service for each request"
        f" ({min(spent):.0f}-{max(spent):.0f}), {median(ratios):.3f} times the first"
        f" ({min(ratios):.3f}-{max(ratios):.3f}), {median(rates):,.0f} requests/s"
    )


@contextmanager
def _collector() -> Iterator[str]:
    """A process of its own; yields its URL."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_collect, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def _collect(ready: Any) -> None:
    os.nice(10)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Accepting)
    ready.send(server.server_address[1])
    server.serve_forever()


class _Accepting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    main()
