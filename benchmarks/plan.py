"""What is measured: contenders, scenarios, rounds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

HS256, ES256 = "HS256", "ES256"
WORKERS = 2
POOL_SIZE = 10
"""Connections to the database, for each worker, of every contender alike."""


@dataclass(frozen=True, slots=True, order=True)
class Scenario:
    """`rows`: sessions that are there already, beside those that are failed."""

    connections: int = 64
    rows: int = 10_000
    algorithm: str = HS256

    def __str__(self) -> str:
        return f"{self.connections} clients, {self.rows:,} rows, {self.algorithm}"


BASE = Scenario()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Times in seconds. `rate_max`: for how many requests a second sessions are prepared."""

    contenders: tuple[str, ...]
    scenarios: tuple[Scenario, ...]
    rounds: int = 3
    duration: int = 10
    warm_up: int = 3
    rate_max: int = 20_000
    soak: int = 0
    postgres: dict[str, str] = field(default_factory=dict)
    service: dict[str, str] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """More than any contender can use up in one measurement."""
        return self.rate_max * (self.warm_up + self.duration)


def sweeps(
    connections: Sequence[int], rows: Sequence[int], algorithms: Sequence[str]
) -> tuple[Scenario, ...]:
    """Each sweep changes one thing about the base, so that its effect can be seen alone."""
    found = [
        *(Scenario(connections=number) for number in connections),
        *(Scenario(rows=number) for number in rows),
        *(Scenario(algorithm=name) for name in algorithms),
    ]
    return tuple(dict.fromkeys(found))
