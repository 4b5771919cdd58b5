# SPDX-License-Identifier: MIT
import pytest

from benchmarks.contenders.catalogue import ASYNCPG, BARE, CEILING, FASTAPI, GO
from benchmarks.parts import Flooded, Measurement, Recovery, Relayed
from benchmarks.plan import APP, BASE, LIVES, READS, REREADS, Scenario
from benchmarks.report.targets import TARGETS
from benchmarks.report.verdicts import Verdict
from benchmarks.results import Results
from tests.benchmarks.builders import a_flooded, a_measurement, a_recovery, a_relayed, results_with


def verdict_on(target: str, results: Results) -> Verdict | None:
    [found] = [each for each in TARGETS if each.against == target]
    return found.judge(results)


@pytest.mark.parametrize("target", [each.against for each in TARGETS])
def test_a_target_without_measurements_has_no_verdict(target: str) -> None:
    assert verdict_on(target, results_with()) is None


@pytest.mark.parametrize(
    ("target", "contender", "scenario", "enough"),
    [
        ("as lived: Starlette + asyncpg by hand", ASYNCPG, APP, 3.0),
        ("as lived: FastAPI + ORM", FASTAPI, APP, 9.0),
        ("reads, known tokens: Starlette + asyncpg by hand", ASYNCPG, REREADS, 2.2),
        ("Go + pgx, pipelined", GO, BASE, 1.3),
        ("whole lives: Starlette + asyncpg by hand", ASYNCPG, LIVES, 2.5),
        ("reads: Starlette + asyncpg by hand", ASYNCPG, READS, 1.6),
        ("reads: own HTTP ceiling", CEILING, READS, 0.65),
    ],
)
def test_a_target_compares_measurements_of_the_same_kind_of_load(
    target: str, contender: str, scenario: Scenario, enough: float
) -> None:
    other = BASE if scenario != BASE else READS  # another kind of load, which does not count
    elsewhere = a_measurement(contender=contender, scenario=other)
    theirs = a_measurement(contender=contender, scenario=scenario, requests_per_second=1000.0)
    for factor, reached in ((enough, True), (enough - 0.05, False)):
        ours = a_measurement(scenario=scenario, requests_per_second=1000.0 * factor)
        verdict = verdict_on(target, results_with(elsewhere, theirs, ours))
        assert verdict is not None
        assert verdict.reached is reached


@pytest.mark.parametrize(("rate", "reached"), [(600.0, True), (590.0, False)])
def test_compares_the_http_path_without_a_database_with_bare_starlette(
    rate: float, *, reached: bool
) -> None:
    results = results_with(
        a_measurement(contender=BARE, requests_per_second=1000.0),
        a_measurement(contender=CEILING, requests_per_second=rate),
    )
    verdict = verdict_on("the HTTP path without a database: bare Starlette", results)
    assert verdict == Verdict(f"{rate / 10:.0f} %", reached=reached)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([a_measurement(p50=10.0, p99=30.0)], Verdict("3.0 ×", reached=True)),
        ([a_measurement(p50=10.0, p99=31.0)], Verdict("3.1 ×", reached=False)),
        (
            [
                a_measurement(p50=10.0, p99=20.0, stalled=0.06),
                a_measurement(round=2, p50=10.0, p99=90.0, stalled=0.07),
            ],
            Verdict("2.0 ×, 1 of 2 rounds had a disk stall", reached=True),
        ),
        (
            [a_measurement(p50=10.0, p99=20.0, stalled=0.5)],
            Verdict("2.0 ×, 1 of 1 rounds had a disk stall", reached=None),
        ),
    ],
    ids=["three times", "more", "a stalled round does not count", "nothing but stalls"],
)
def test_judges_the_tail_by_the_rounds_without_a_stall_of_the_disk(
    rounds: list[Measurement], expected: Verdict
) -> None:
    """A stall counts from 1 % of the time on, which is 60 ms of 6 s."""
    target = "p99 at 64 connections, outside a stall of the disk"
    assert verdict_on(target, results_with(*rounds)) == expected


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        (
            [a_flooded(), a_flooded(round=2, during=40.0), a_flooded(round=3, during=90.0)],
            Verdict("2.00 ×, 0 refusals", reached=True),
        ),
        ([a_flooded(during=40.4)], Verdict("2.02 ×, 0 refusals", reached=False)),
        (
            [a_flooded(answers_of_others={"200": 900, "503": 2})],
            Verdict("1.50 ×, 2 refusals", reached=False),
        ),
    ],
    ids=["twice as slow", "slower", "refusals"],
)
def test_judges_the_median_flood_and_allows_no_refusal_of_others(
    rounds: list[Flooded], expected: Verdict
) -> None:
    target = "5,000 commands of one user at once: the median of 50 others"
    assert verdict_on(target, results_with(*rounds)) == expected


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([a_recovery(seconds=0.5)], Verdict("0.50 s at most", reached=True)),
        (
            [a_recovery(seconds=0.5), a_recovery(round=2, seconds=2.1)],
            Verdict("2.10 s at most", reached=False),
        ),
        ([a_recovery(seconds=None)], Verdict("not back", reached=False)),
        (
            [a_recovery(answers={"200": 10, "500": 1})],
            Verdict("0.50 s at most, other answers than 200 and 503", reached=False),
        ),
        (
            [a_recovery(broken=1)],
            Verdict("0.50 s at most, other answers than 200 and 503", reached=False),
        ),
    ],
    ids=["in time", "one round too late", "never", "a 500", "a broken connection"],
)
def test_judges_the_slowest_recovery_and_allows_only_200_and_503(
    rounds: list[Recovery], expected: Verdict
) -> None:
    assert verdict_on("a database that stood still and goes on", results_with(*rounds)) == expected


def test_judges_the_relay_by_its_oldest_event_and_by_lost_throughput() -> None:
    """Compares within each round, because the speed of the machine differs between rounds."""
    rounds: list[Relayed] = [
        a_relayed(round=1, with_relay=False, requests_per_second=5000.0, ages=[]),
        a_relayed(round=1, requests_per_second=4600.0, ages=[0.1, 1.2, 0.3]),
        a_relayed(round=2, with_relay=False, requests_per_second=2500.0, ages=[]),
        a_relayed(round=2, requests_per_second=2300.0),
        a_relayed(round=3, requests_per_second=1000.0),
    ]
    results = results_with(*rounds)
    oldest = Verdict("1.20 s at most", reached=False)
    assert verdict_on("the relay: age of the oldest event", results) == oldest
    cost = Verdict("8 %", reached=True)
    assert verdict_on("the relay: throughput that it costs", results) == cost
