# SPDX-License-Identifier: MIT
"""Builders of benchmark results; each test overrides the fields that it is about."""

from typing import Any

from benchmarks.contenders.catalogue import SERVICE
from benchmarks.load import Load
from benchmarks.parts import Flooded, Measurement, Recovery, Relayed, Result, Soak
from benchmarks.plan import BASE
from benchmarks.results import Results
from benchmarks.turns import Turn


def a_measurement(**facts: Any) -> Measurement:
    usual: dict[str, Any] = {
        "contender": SERVICE,
        "scenario": BASE,
        "round": 1,
        "requests_per_second": 5000.0,
        "p50": 12.0,
        "p90": 20.0,
        "p99": 30.0,
        "p999": 50.0,
        "max": 80.0,
        "errors": 0,
        "server_cpu": 0.2,
        "database_cpu": 0.1,
        "resident": 90.0,
        "proportional": 70.0,
    }
    return Measurement(**usual | facts)


def a_recovery(**facts: Any) -> Recovery:
    usual: dict[str, Any] = {
        "round": 1,
        "stopped": 7.0,
        "before": 5000.0,
        "seconds": 0.5,
        "answers": {"200": 60_000, "503": 64},
        "broken": 0,
        "curve": [[-0.25, 0.0], [0.0, 4000.0], [0.25, 5000.0]],
    }
    return Recovery(**usual | facts)


def a_flooded(**facts: Any) -> Flooded:
    usual: dict[str, Any] = {
        "round": 1,
        "usual": 20.0,
        "during": 30.0,
        "requests": 900,
        "seconds": 2.0,
        "answers": {"200": 1, "409": 199, "429": 4800},
        "answers_of_others": {"200": 900},
    }
    return Flooded(**usual | facts)


def a_relayed(**facts: Any) -> Relayed:
    usual: dict[str, Any] = {
        "round": 1,
        "with_relay": True,
        "requests_per_second": 4800.0,
        "p50": 12.0,
        "p99": 30.0,
        "errors": 0,
        "ages": [0.1, 0.4],
        "behind": 0.2,
    }
    return Relayed(**usual | facts)


def a_soak(**facts: Any) -> Soak:
    usual: dict[str, Any] = {
        "interval": 5.0,
        "requests_per_second": 5000.0,
        "errors": 0,
        "resident": [90.0, 91.0],
    }
    return Soak(**usual | facts)


def a_turn(*, succeeded: int = 2000, server_cpu: float = 0.5) -> Turn:
    load = Load(
        written=succeeded,
        generator_cpu=0.02,
        seconds=1.0, succeeded=succeeded, refused=0, broken=0,
        p50=12.0, p90=20.0, p99=30.0, p999=50.0, max=80.0,
    )  # fmt: skip
    return Turn(load=load, server_cpu=server_cpu, database_cpu=0.1)


def results_with(*everything: Result, **facts: Any) -> Results:
    usual: dict[str, Any] = {
        "machine": {"Processor": "two cores"},
        "settings": {"fsync": "on"},
        "conditions": {"duration": 6, "warm_up": 2},
        "commands": ["python -m benchmarks"],
    }
    return Results(**usual | facts, everything=list(everything))
