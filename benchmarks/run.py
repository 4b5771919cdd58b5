# SPDX-License-Identifier: MIT
"""Runs a plan, round after round, and saves the results after each step."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks import cluster, machine
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.contenders.toolchains import NotHere
from benchmarks.flood import SECONDS as FLOOD_SECONDS
from benchmarks.flood import flooded
from benchmarks.fresh import Fresh
from benchmarks.issuer import issuing
from benchmarks.keep import Keep
from benchmarks.measure import Bench
from benchmarks.metering import SECONDS as METERING_SECONDS
from benchmarks.metering import metered
from benchmarks.nats import ENVIRONMENT as NATS_ENVIRONMENT
from benchmarks.nats import nats_server
from benchmarks.parts import (
    SOAK_IDENTITY,
    Flooded,
    Identity,
    Measurement,
    Metered,
    Recovery,
    Relayed,
    Result,
    Soak,
    flooded_of,
    measurement_of,
    metered_of,
    recovery_of,
    relayed_of,
)
from benchmarks.plan import BASE, FLOOD, LOAD, METRICS, RECOVERY, RELAY, SOAK, Plan
from benchmarks.recovery import SECONDS as RECOVERY_SECONDS
from benchmarks.recovery import recovery
from benchmarks.relaying import SECONDS as RELAY_SECONDS
from benchmarks.relaying import relayed
from benchmarks.results import Results
from benchmarks.soak import soak
from service.bootstrap.progress import ProgressBar

HEADROOM = 1.5
"""Factor by which a longer load may be faster than the measured one."""


Wanted = Callable[[Identity], bool]


def run(plan: Plan, *, data: Path, keep: Keep, command: str) -> Results:
    """Raises CannotMeasure. `data`: directory of databases and packages for later runs."""
    notes: list[str] = []
    plan = replace(plan, contenders=tuple(those_here(plan.contenders, data, notes)))
    if warning := machine.warn_about_python():
        notes.append(warning)
    with preparing(plan, data) as bench:
        results = keep.begun(
            Results(
                machine=machine.described(bench.cluster),
                settings=cluster.SETTINGS
                | plan.postgres
                | {"NATS sync_interval": plan.nats_sync}
                | {f"NATS {name}": value for name, value in NATS_ENVIRONMENT.items()},
                conditions=plan.conditions,
            )
        )
        results.commands.append(command)
        results.notes += [note for note in notes if note not in results.notes]
        wanted = [each for each in identities(plan) if keep.lacks(results, each)]
        with ProgressBar() as progress:
            progress.begin("benchmarks", len(wanted), "measurements")
            for result in _everything(bench, results, keep):
                progress.print(str(result))
                results.add(result)
                results.save(keep.file)
                progress.advance(1)
    return results


def identities(plan: Plan) -> Iterator[Identity]:
    """Of all results of the plan."""
    rounds = range(1, plan.rounds + 1)
    of_part: dict[str, list[Identity]] = {
        LOAD: [
            measurement_of(name, scenario, round_)
            for round_, scenario, name in product(rounds, plan.scenarios, plan.contenders)
            if CONTENDERS[name].takes_part_in(scenario)
        ],
        RECOVERY: [recovery_of(each) for each in rounds],
        FLOOD: [flooded_of(each) for each in rounds],
        RELAY: [
            relayed_of(each, with_relay=with_relay)
            for each, with_relay in product(rounds, (False, True))
        ],
        METRICS: [metered_of(each) for each in rounds],
        SOAK: [SOAK_IDENTITY],
    }
    for part in plan.parts:
        yield from of_part[part]


def those_here(names: Sequence[str], data: Path, notes: list[str]) -> Iterator[str]:
    """Prepares the contenders, and leaves those out that cannot take part here, with a note."""
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
def preparing(plan: Plan, data: Path) -> Iterator[Bench]:
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


def _everything(bench: Bench, results: Results, keep: Keep) -> Iterator[Result]:
    parts: dict[str, Callable[[Bench, Results, Wanted], Iterator[Result]]] = {
        LOAD: _measurements,
        RECOVERY: _recoveries,
        FLOOD: _floods,
        RELAY: _relayed,
        METRICS: _metered,
        SOAK: _soak,
    }
    for part in bench.plan.parts:
        yield from parts[part](bench, results, partial(keep.lacks, results))


def _measurements(bench: Bench, _results: Results, wanted: Wanted) -> Iterator[Measurement]:
    """Measures contender after contender, so that disturbances of the machine affect all alike."""
    for round_, scenario, name in product(
        _rounds(bench), bench.plan.scenarios, bench.plan.contenders
    ):
        contender = CONTENDERS[name]
        if contender.takes_part_in(scenario) and wanted(measurement_of(name, scenario, round_)):
            yield bench.measure(contender, scenario, round_)


def _rounds(bench: Bench) -> range:
    return range(1, bench.plan.rounds + 1)


def _recoveries(bench: Bench, results: Results, wanted: Wanted) -> Iterator[Recovery]:
    rounds = [each for each in _rounds(bench) if wanted(recovery_of(each))]
    if rounds:
        with _for_longer(bench, results, RECOVERY_SECONDS) as longer:
            yield from (recovery(longer, each) for each in rounds)


def _floods(bench: Bench, results: Results, wanted: Wanted) -> Iterator[Flooded]:
    rounds = [each for each in _rounds(bench) if wanted(flooded_of(each))]
    if rounds:
        with _for_longer(bench, results, FLOOD_SECONDS) as longer:
            yield from (flooded(longer, each) for each in rounds)


def _relayed(bench: Bench, results: Results, wanted: Wanted) -> Iterator[Relayed]:
    try:
        nats_server()
    except NotHere as exc:
        results.notes.append(f"The relay was not measured: {exc}.")
        return
    rounds = [
        each
        for each in _rounds(bench)
        if any(wanted(relayed_of(each, with_relay=with_relay)) for with_relay in (False, True))
    ]
    if rounds:
        with _for_longer(bench, results, 2 * RELAY_SECONDS) as longer:
            for each in rounds:
                yield from relayed(longer, each)


def _metered(bench: Bench, results: Results, wanted: Wanted) -> Iterator[Metered]:
    rounds = [each for each in _rounds(bench) if wanted(metered_of(each))]
    if rounds:
        with _for_longer(bench, results, METERING_SECONDS) as longer:
            yield from (metered(longer, each) for each in rounds)


def _soak(bench: Bench, results: Results, wanted: Wanted) -> Iterator[Soak]:
    if wanted(SOAK_IDENTITY):
        with _for_longer(bench, results, bench.plan.soak) as longer:
            yield soak(longer)


@contextmanager
def _for_longer(bench: Bench, results: Results, seconds: int) -> Iterator[Bench]:
    """Prepares requests for a warm-up and `seconds` of the base load on this service."""
    rate = results.spread(SERVICE, BASE, lambda each: each.requests_per_second)
    per_second = rate.most * HEADROOM if rate else bench.plan.rate_max
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as place:
        fresh = Fresh(Path(place), bench.warm_up.count + round(per_second * seconds))
        print(f"Preparing {fresh.count:,} requests for {seconds} s of load ...", flush=True)
        fresh.write([(BASE.kind, bench.issuers[BASE.algorithm])])
        yield replace(bench, fresh=fresh)
