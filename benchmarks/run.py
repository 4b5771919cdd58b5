"""A whole plan, round after round; what was measured is kept after each step."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import cluster, machine
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE, NotHere
from benchmarks.fresh import Fresh
from benchmarks.issuer import issuing
from benchmarks.measure import Bench
from benchmarks.plan import BASE, Plan
from benchmarks.results import Measurement, Results, Soak

HEADROOM = 1.5
"""How much faster than it was measured the service may be in the soak."""


def run(plan: Plan, *, data: Path, keep: Path, command: str) -> Results:
    """Raises CannotMeasure. `data`: what later runs use again; `keep`: the file for results."""
    notes: list[str] = []
    plan = replace(plan, contenders=tuple(_those_here(plan.contenders, data, notes)))
    with _bench(plan, data) as bench:
        results = Results(
            command=command,
            machine=machine.described(bench.cluster),
            settings=cluster.SETTINGS | plan.postgres,
            plan=asdict(plan),
            notes=notes,
        )
        for measurement in _measurements(bench):
            results.measurements.append(measurement)
            results.save(keep)
        if plan.soak and SERVICE in plan.contenders:
            results.soak = _soak(bench, results)
            results.save(keep)
    return results


def _those_here(names: Sequence[str], data: Path, notes: list[str]) -> Iterator[str]:
    for name in names:
        contender = CONTENDERS[name]
        try:
            if contender.prepare:
                contender.prepare(data)
        except NotHere as exc:
            notes.append(f"{contender.title} did not take part: {exc}.")
            print(notes[-1])
        else:
            yield name


@contextmanager
def _bench(plan: Plan, data: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-"))
        postgres = stack.enter_context(cluster.running(data / "postgres", plan.postgres))
        algorithms = sorted({scenario.algorithm for scenario in (*plan.scenarios, BASE)})
        issuers = {each: stack.enter_context(issuing(each)) for each in algorithms}
        fresh = Fresh(Path(place), plan.requests)
        print(f"Preparing {fresh.count:,} sessions and requests ...", flush=True)
        fresh.write(issuers.values())
        yield Bench(plan, postgres, fresh, issuers, data)


def _measurements(bench: Bench) -> Iterator[Measurement]:
    """Contender after contender, so that what disturbs the machine disturbs all of them."""
    for round_ in range(1, bench.plan.rounds + 1):
        for scenario in bench.plan.scenarios:
            for contender in (CONTENDERS[name] for name in bench.plan.contenders):
                if contender.takes_part_in(scenario):
                    measured = bench.measure(contender, scenario, round_)
                    print(_line(measured), flush=True)
                    yield measured


def _line(measured: Measurement) -> str:
    return (
        f"round {measured.round}  {measured.scenario!s:42}  {measured.contender:18}"
        f"{measured.requests_per_second:8,.0f}/s  p50 {measured.p50:7.2f} ms"
        f"  p99 {measured.p99:7.2f} ms  errors {measured.errors}"
    )


def _soak(bench: Bench, results: Results) -> Soak:
    rate = results.spread(SERVICE, BASE, lambda each: each.requests_per_second)
    per_second = rate.most * HEADROOM if rate else bench.plan.rate_max
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as place:
        fresh = Fresh(Path(place), round(per_second * bench.plan.soak))
        print(f"Preparing {fresh.count:,} requests for {bench.plan.soak} s of load ...", flush=True)
        fresh.write([bench.issuers[BASE.algorithm]])
        return replace(bench, fresh=fresh).soak()
