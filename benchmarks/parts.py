# SPDX-License-Identifier: MIT
"""What the parts of the benchmark measure."""

from dataclasses import dataclass, field
from statistics import median
from typing import ClassVar

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
RESULT_TYPES: dict[str, type[Result]] = {
    LOAD: Measurement,
    RECOVERY: Recovery,
    FLOOD: Flooded,
    RELAY: Relayed,
    METRICS: Metered,
    SOAK: Soak,
}
