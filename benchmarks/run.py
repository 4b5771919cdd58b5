"""A whole plan, round after round; what was measured is kept after each step."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import cluster, machine
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE, NotHere
from benchmarks.fresh import Fresh
from benchmarks.issuer import issuing
from benchmarks.measure import Bench, CannotMeasure
from benchmarks.nats import nats_server
from benchmarks.plan import BASE, LOAD, RECOVERY, RELAY, SOAK, Plan
from benchmarks.recovery import SECONDS as RECOVERY_SECONDS
from benchmarks.recovery import recovery
from benchmarks.relaying import SECONDS as RELAY_SECONDS
from benchmarks.relaying import relayed
from benchmarks.results import Measurement, Recovery, Relayed, Result, Results, Soak
from benchmarks.soak import soak

HEADROOM = 1.5
"""How much faster than it was measured the service may be where it is loaded for longer."""


def run(plan: Plan, *, data: Path, keep: Path, command: str, add: bool) -> Results:
    """Raises CannotMeasure.

    `data`: what later runs use again; `keep`: the file for results; `add`: to those in it.
    """
    notes: list[str] = []
    plan = replace(plan, contenders=tuple(_those_here(plan.contenders, data, notes)))
    with _bench(plan, data) as bench:
        results = Results(
            machine=machine.described(bench.cluster),
            settings=cluster.SETTINGS | plan.postgres | {"sync_interval of NATS": plan.nats_sync},
            conditions=plan.conditions,
        )
        if add and keep.exists():
            results = _more_of(Results.load(keep), results)
        results.commands.append(command)
        results.notes += [note for note in notes if note not in results.notes]
        for result in _everything(bench, results):
            print(result, flush=True)
            results.add(result)
            results.save(keep)
    return results


def _more_of(earlier: Results, now: Results) -> Results:
    for aspect in ("machine", "settings", "conditions"):
        there, here = getattr(earlier, aspect), getattr(now, aspect)
        if there != here:
            raise CannotMeasure(f"Results of another {aspect} cannot be added to: {there}, {here}")
    return earlier


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
        needed = dict.fromkeys((each.kind, each.algorithm) for each in (*plan.scenarios, BASE))
        fresh.write((kind, issuers[algorithm]) for kind, algorithm in needed)
        yield Bench(plan, postgres, fresh, issuers, data)


def _everything(bench: Bench, results: Results) -> Iterator[Result]:
    parts: dict[str, Callable[[Bench, Results], Iterator[Result]]] = {
        LOAD: _measurements,
        RECOVERY: _recoveries,
        RELAY: _relayed,
        SOAK: _soak,
    }
    for part in bench.plan.parts:
        yield from parts[part](bench, results)


def _measurements(bench: Bench, _results: Results) -> Iterator[Measurement]:
    """Contender after contender, so that what disturbs the machine disturbs all of them."""
    for round_ in range(1, bench.plan.rounds + 1):
        for scenario in bench.plan.scenarios:
            for contender in (CONTENDERS[name] for name in bench.plan.contenders):
                if contender.takes_part_in(scenario):
                    yield bench.measure(contender, scenario, round_)


def _recoveries(bench: Bench, results: Results) -> Iterator[Recovery]:
    with _for_longer(bench, results, RECOVERY_SECONDS) as longer:
        for round_ in range(1, bench.plan.rounds + 1):
            yield recovery(longer, round_)


def _relayed(bench: Bench, results: Results) -> Iterator[Relayed]:
    try:
        nats_server()
    except NotHere as exc:
        results.notes.append(f"The relay was not measured: {exc}.")
        return
    with _for_longer(bench, results, RELAY_SECONDS) as longer:
        for round_ in range(1, bench.plan.rounds + 1):
            for with_relay in (False, True):
                yield relayed(longer, round_, with_relay=with_relay)


def _soak(bench: Bench, results: Results) -> Iterator[Soak]:
    with _for_longer(bench, results, bench.plan.soak) as longer:
        yield soak(longer)


@contextmanager
def _for_longer(bench: Bench, results: Results, seconds: int) -> Iterator[Bench]:
    """With requests for a warm-up and so many seconds of the base load on this service."""
    rate = results.spread(SERVICE, BASE, lambda each: each.requests_per_second)
    per_second = rate.most * HEADROOM if rate else bench.plan.rate_max
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as place:
        fresh = Fresh(Path(place), bench.warm_up.count + round(per_second * seconds))
        print(f"Preparing {fresh.count:,} requests for {seconds} s of load ...", flush=True)
        fresh.write([(BASE.kind, bench.issuers[BASE.algorithm])])
        yield replace(bench, fresh=fresh)
