# SPDX-License-Identifier: MIT
"""The benchmark knows how many measurements are to come, and goes on with those that it lacks."""

from pathlib import Path

from benchmarks.contenders.catalogue import PGBENCH, SERVICE
from benchmarks.keep import Keep
from benchmarks.parts import measurement_of
from benchmarks.plan import BASE, LOAD, PARTS, RELAY, SOAK, Plan, Scenario
from benchmarks.results import Results
from benchmarks.run import identities


def a_plan(*parts: str) -> Plan:
    return Plan(
        contenders=(SERVICE, PGBENCH),
        scenarios=(BASE, Scenario(connections=256)),
        parts=parts,
        rounds=3,
        duration=6,
        warm_up=2,
        rate_max=100,
        soak=600,
        nats_sync="always",
    )


def test_counts_the_results_of_all_parts() -> None:
    """pgbench takes part in one of the two scenarios."""
    counts = {part: len(list(identities(a_plan(part)))) for part in PARTS}

    assert counts == dict.fromkeys(PARTS, 3) | {LOAD: 9, RELAY: 6, SOAK: 1}
    assert len(set(identities(a_plan(*counts)))) == sum(counts.values())


def test_an_empty_file_lacks_all_of_them(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "results.json", add=True, again=False)
    results = Results(machine={}, settings={}, conditions={})

    assert keep.lacks(results, measurement_of(SERVICE, BASE, 1))
