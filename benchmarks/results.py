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

    def __str__(self) -> str:
        return (
            f"round {self.round}  {self.scenario!s:42}  {self.contender:18}"
            f"{self.requests_per_second:8,.0f}/s  p50 {self.p50:7.2f} ms"
            f"  p99 {self.p99:7.2f} ms  errors {self.errors}"
        )


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

    def __str__(self) -> str:
        return f"soak of {self.seconds:.0f} s: {max(self.resident, default=0):.0f} MiB at most"


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Load during which the database stood still for `stopped` seconds, and then went on.

    `before`: successes a second until then; `seconds`: from when it went on until throughput was
    back, None for never. `answers` by status; `broken`: connections, and answers too late.
    `curve`: successes a second over time, in seconds since the database went on.
    """

    round: int
    stopped: float
    before: float
    seconds: float | None
    answers: dict[str, int]
    broken: int
    curve: list[list[float]]

    def __str__(self) -> str:
        back = "never" if self.seconds is None else f"after {self.seconds:.2f} s"
        return f"round {self.round}  recovery: back {back}  {self.answers}  broken {self.broken}"


@dataclass(frozen=True, kw_only=True)
class Relayed:
    """This service under load, with the relay or without.

    `ages`: of the oldest event not yet published, in seconds, sampled under load; `behind`: for
    how long the relay went on publishing after the load.
    """

    round: int
    with_relay: bool
    requests_per_second: float
    p50: float
    p99: float
    errors: int
    ages: list[float] = field(default_factory=list)
    behind: float | None = None

    def __str__(self) -> str:
        oldest = f"  oldest event {max(self.ages):.2f} s" if self.ages else ""
        return (
            f"round {self.round}  {'with' if self.with_relay else 'without'} relay"
            f"{self.requests_per_second:8,.0f}/s  p99 {self.p99:7.2f} ms{oldest}"
        )


Result = Measurement | Soak | Recovery | Relayed


@dataclass(kw_only=True)
class Results:
    """`conditions`: what has to be alike for figures to stand in one table."""

    machine: dict[str, str]
    settings: dict[str, str]
    conditions: dict[str, Any]
    commands: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    relayed: list[Relayed] = field(default_factory=list)
    soak: Soak | None = None

    def add(self, result: Result) -> None:
        """A first round takes the place of what an earlier run had measured of the same."""
        if isinstance(result, Soak):
            self.soak = result
            return
        kept = self._kept_with(result)
        if result.round == 1:
            kept[:] = [each for each in kept if _subject(each) != _subject(result)]
        kept.append(result)

    def _kept_with(self, result: Result) -> list[Any]:
        if isinstance(result, Recovery):
            return self.recoveries
        return self.relayed if isinstance(result, Relayed) else self.measurements

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

    @property
    def rounds(self) -> int:
        return max((each.round for each in self.measurements), default=0)

    def save(self, path: Path) -> None:
        """At once or not at all, so that no interruption leaves half a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(self), indent=1) + "\n")
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Results":
        kept = json.loads(path.read_text())
        kept["measurements"] = [
            Measurement(**each | {"scenario": Scenario(**each["scenario"])})
            for each in kept["measurements"]
        ]
        kept["recoveries"] = [Recovery(**each) for each in kept["recoveries"]]
        kept["relayed"] = [Relayed(**each) for each in kept["relayed"]]
        kept["soak"] = Soak(**kept["soak"]) if kept["soak"] else None
        return cls(**kept)


def _subject(result: Measurement | Recovery | Relayed) -> tuple[object, ...]:
    if isinstance(result, Measurement):
        return result.contender, result.scenario
    return (result.with_relay,) if isinstance(result, Relayed) else ()
