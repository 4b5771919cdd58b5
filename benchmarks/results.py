"""What was measured, as it is kept between measuring and reporting."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.plan import Scenario


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run. Latencies in ms; `*_cpu`: seconds per 1,000 requests; memory: MiB per worker."""

    contender: str
    scenario: Scenario
    round: int
    requests_per_second: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    errors: int
    server_cpu: float
    database_cpu: float
    resident: float
    proportional: float


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        each = list(values)
        return cls(median(each), min(each), max(each))


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Memory of the largest worker, in MiB, every `interval` seconds of load."""

    interval: float
    requests_per_second: float
    errors: int
    resident: list[float]

    @property
    def seconds(self) -> float:
        return len(self.resident) * self.interval


@dataclass(kw_only=True)
class Results:
    command: str
    machine: dict[str, str]
    settings: dict[str, str]
    plan: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    soak: Soak | None = None

    def of(self, contender: str, scenario: Scenario) -> list[Measurement]:
        return [
            each
            for each in self.measurements
            if each.contender == contender and each.scenario == scenario
        ]

    def spread(
        self, contender: str, scenario: Scenario, value: Callable[[Measurement], float]
    ) -> Spread | None:
        found = self.of(contender, scenario)
        return Spread.of(map(value, found)) if found else None

    @property
    def scenarios(self) -> list[Scenario]:
        return sorted({each.scenario for each in self.measurements})

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        kept = json.loads(path.read_text())
        kept["measurements"] = [
            Measurement(**each | {"scenario": Scenario(**each["scenario"])})
            for each in kept["measurements"]
        ]
        kept["soak"] = Soak(**kept["soak"]) if kept["soak"] else None
        return cls(**kept)
