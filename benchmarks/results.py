# SPDX-License-Identifier: MIT
"""Results, as they are stored between measuring and reporting."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, TypeVar

from benchmarks.plan import FLOOD, LOAD, METRICS, RECOVERY, RELAY, SOAK, Scenario

Identity = tuple[object, ...]
"""Identifies what a result measured; a newer result with the same identity replaces it."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run. Latencies in ms; `*_cpu`: seconds per 1,000 requests; memory: MiB per worker.

    `slowest_sync`: ms of the disk's slowest write; `stalled`: seconds of its writes that stalled.
    """

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
    generator_cpu: float = 0
    slowest_sync: float = 0
    stalled: float = 0

    @property
    def identity(self) -> Identity:
        return measurement_of(self.contender, self.scenario, self.round)

    def __str__(self) -> str:
        return (
            f"round {self.round}  {self.scenario!s:42}  {self.contender:18}"
            f"{self.requests_per_second:8,.0f}/s  p50 {self.p50:7.2f} ms"
            f"  p99 {self.p99:7.2f} ms  errors {self.errors}"
        )


def measurement_of(contender: str, scenario: Scenario, round_: int) -> Identity:
    return LOAD, contender, scenario, round_


def recovery_of(round_: int) -> Identity:
    return RECOVERY, round_


def flooded_of(round_: int) -> Identity:
    return FLOOD, round_


def relayed_of(round_: int, *, with_relay: bool) -> Identity:
    return RELAY, round_, with_relay


def metered_of(round_: int) -> Identity:
    return METRICS, round_


SOAK_IDENTITY: Identity = (SOAK,)


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

    identity: ClassVar[Identity] = SOAK_IDENTITY

    @property
    def seconds(self) -> float:
        return len(self.resident) * self.interval

    def __str__(self) -> str:
        return f"soak of {self.seconds:.0f} s: {max(self.resident, default=0):.0f} MiB at most"


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Load during which the database was frozen for `stopped` seconds.

    `before`: successes per second until then; `seconds`: from the end of the freeze until the
    throughput was back, None for never. `answers` by status; `broken`: lost connections and
    timeouts. `curve`: successes per second over the seconds since the end of the freeze.
    """

    round: int
    stopped: float
    before: float
    seconds: float | None
    answers: dict[str, int]
    broken: int
    curve: list[list[float]]

    @property
    def identity(self) -> Identity:
        return recovery_of(self.round)

    def __str__(self) -> str:
        back = "never" if self.seconds is None else f"after {self.seconds:.2f} s"
        return f"round {self.round}  recovery: back {back}  {self.answers}  broken {self.broken}"


@dataclass(frozen=True, kw_only=True)
class Flooded:
    """Other users before and during the flood of one user, which took `seconds`.

    `usual`, `during`: medians of the others, in ms; `requests`: theirs during the flood. Answers by
    status; 0 for a connection without an answer.
    """

    round: int
    usual: float
    during: float
    requests: int
    seconds: float
    answers: dict[str, int]
    answers_of_others: dict[str, int]

    @property
    def identity(self) -> Identity:
        return flooded_of(self.round)

    def __str__(self) -> str:
        return (
            f"round {self.round}  flood of {self.seconds:.2f} s: {self.answers}  others p50"
            f" {self.usual:.1f} ms, during it {self.during:.1f} ms  {self.answers_of_others}"
        )


@dataclass(frozen=True, kw_only=True)
class Relayed:
    """This service under load, with the relay or without.

    `ages`: seconds since the oldest unpublished event, sampled under load; `behind`: seconds for
    which the relay went on publishing after the load.
    """

    round: int
    with_relay: bool
    requests_per_second: float
    p50: float
    p99: float
    errors: int
    ages: list[float] = field(default_factory=list)
    behind: float | None = None

    @property
    def identity(self) -> Identity:
        return relayed_of(self.round, with_relay=self.with_relay)

    def __str__(self) -> str:
        oldest = f"  oldest event {max(self.ages):.2f} s" if self.ages else ""
        return (
            f"round {self.round}  {'with' if self.with_relay else 'without'} relay"
            f"{self.requests_per_second:8,.0f}/s  p99 {self.p99:7.2f} ms{oldest}"
        )


@dataclass(frozen=True, kw_only=True)
class Metered:
    """Successes per second in turns of a second, without metrics and with them, in pairs.

    `*_cpu`: seconds of the server's processes for 1,000 of them.
    """

    round: int
    without: list[float]
    counted: list[float]
    without_cpu: float
    counted_cpu: float
    errors: int

    @property
    def identity(self) -> Identity:
        return metered_of(self.round)

    @property
    def ratios(self) -> list[float]:
        return [with_ / without for with_, without in zip(self.counted, self.without, strict=True)]

    def __str__(self) -> str:
        return (
            f"round {self.round}  metrics: {median(self.without):,.0f}/s without,"
            f" {median(self.counted):,.0f}/s with, ratio {median(self.ratios):.3f}"
            f"  CPU {self.without_cpu:.3f} and {self.counted_cpu:.3f} s  errors {self.errors}"
        )


Result = Measurement | Recovery | Flooded | Relayed | Metered | Soak
R = TypeVar("R", bound=Result)
PARTS: dict[str, type[Result]] = {
    LOAD: Measurement,
    RECOVERY: Recovery,
    FLOOD: Flooded,
    RELAY: Relayed,
    METRICS: Metered,
    SOAK: Soak,
}


@dataclass(kw_only=True)
class Results:
    """`conditions` must be equal for figures in one table."""

    machine: dict[str, str]
    settings: dict[str, str]
    conditions: dict[str, Any]
    commands: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    everything: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Replaces an earlier result with the same identity."""
        others = [each for each in self.everything if each.identity != result.identity]
        self.everything = [*others, result]

    def __contains__(self, identity: Identity) -> bool:
        return any(each.identity == identity for each in self.everything)

    def _all(self, kind: type[R]) -> list[R]:
        return [each for each in self.everything if isinstance(each, kind)]

    @property
    def measurements(self) -> list[Measurement]:
        return self._all(Measurement)

    @property
    def recoveries(self) -> list[Recovery]:
        return self._all(Recovery)

    @property
    def floods(self) -> list[Flooded]:
        return self._all(Flooded)

    @property
    def relayed(self) -> list[Relayed]:
        return self._all(Relayed)

    @property
    def metered(self) -> list[Metered]:
        return self._all(Metered)

    @property
    def soak(self) -> Soak | None:
        return next(iter(self._all(Soak)), None)

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
        """Writes the file completely or not at all, whenever it is interrupted."""
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [{"part": each.identity[0]} for each in self.everything]
        kept = asdict(self)
        kept["everything"] = [
            part | each for part, each in zip(parts, kept["everything"], strict=True)
        ]
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(kept, indent=1) + "\n")
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Results":
        kept = json.loads(path.read_text())
        kept["everything"] = [_loaded(**each) for each in kept["everything"]]
        return cls(**kept)


def _loaded(part: str, **values: Any) -> Result:
    if "scenario" in values:
        values["scenario"] = Scenario(**values["scenario"])
    return PARTS[part](**values)
