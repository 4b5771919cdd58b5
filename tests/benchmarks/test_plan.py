# SPDX-License-Identifier: MIT
import pytest

from benchmarks.contenders.catalogue import BARE, CEILING, CONTENDERS, FASTAPI, PGBENCH, SERVICE
from benchmarks.plan import (
    APP,
    BASE,
    ES256,
    FAIL,
    HS256,
    LIVED,
    LIVES,
    MIXED,
    READ,
    READS,
    REREADS,
    Scenario,
    sweeps,
)


def test_each_sweep_changes_one_thing_about_the_base() -> None:
    found = sweeps([LIVED, FAIL, READ, MIXED], [1, 64], [10_000, 1_000_000], [HS256, ES256])
    assert found == (
        APP,
        BASE,
        READS,
        LIVES,
        Scenario(connections=1),
        Scenario(rows=1_000_000),
        Scenario(algorithm=ES256),
    )


def test_without_the_kind_fail_there_is_no_sweep() -> None:
    assert sweeps([READ], [1, 64], [10_000], [HS256]) == (READS,)


@pytest.mark.parametrize(
    ("name", "scenario", "takes_part"),
    [
        (SERVICE, Scenario(rows=10_000_000), True),
        (FASTAPI, LIVES, True),
        (CEILING, READS, True),
        (CEILING, LIVES, False),
        (CEILING, REREADS, True),
        (CEILING, APP, False),
        (FASTAPI, APP, True),
        (BARE, BASE, True),
        (BARE, READS, False),
        (PGBENCH, Scenario(connections=8), True),
        (PGBENCH, Scenario(connections=256), False),
        (PGBENCH, Scenario(algorithm=ES256), False),
    ],
)
def test_contenders_take_part_in_the_scenarios_that_they_support(
    name: str, scenario: Scenario, *, takes_part: bool
) -> None:
    assert CONTENDERS[name].takes_part_in(scenario) is takes_part
