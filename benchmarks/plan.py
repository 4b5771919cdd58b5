"""What is measured: contenders, scenarios, rounds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

FAIL, READ, MIXED = "fail", "read", "mixed"
"""What the load does: fail sessions, read them, or plan, start and fail them."""

HS256, ES256 = "HS256", "ES256"
LOAD, RECOVERY, RELAY, SOAK = "load", "recovery", "relay", "soak"
PARTS = LOAD, RECOVERY, RELAY, SOAK

WORKERS = 2
POOL_SIZE = 10
"""Connections to the database, for each worker, of every contender alike."""


@dataclass(frozen=True, slots=True, order=True)
class Scenario:
    """`rows`: sessions that are there already, beside those that the load is about."""

    kind: str = FAIL
    connections: int = 64
    rows: int = 10_000
    algorithm: str = HS256

    def __str__(self) -> str:
        return f"{self.kind}, {self.connections} clients, {self.rows:,} rows, {self.algorithm}"

    def differences(self) -> set[str]:
        """The names of what differs from the base."""
        names = (field.name for field in fields(self))
        return {name for name in names if getattr(self, name) != getattr(BASE, name)}


BASE = Scenario()
READS, LIVES = Scenario(kind=READ), Scenario(kind=MIXED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Times in seconds. `rate_max`: for how many requests a second sessions are prepared."""

    contenders: tuple[str, ...]
    scenarios: tuple[Scenario, ...]
    parts: tuple[str, ...]
    rounds: int
    duration: int
    warm_up: int
    rate_max: int
    soak: int
    nats_sync: str
    postgres: dict[str, str] = field(default_factory=dict)
    service: dict[str, str] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """More than any contender can use up in one measurement."""
        return self.rate_max * (self.warm_up + self.duration)

    @property
    def conditions(self) -> dict[str, Any]:
        """What has to be alike for figures to stand in one table."""
        return {"duration": self.duration, "warm_up": self.warm_up, "service": self.service}


def sweeps(
    kinds: Sequence[str],
    connections: Sequence[int],
    rows: Sequence[int],
    algorithms: Sequence[str],
) -> tuple[Scenario, ...]:
    """Each sweep changes one thing about the base, so that its effect can be seen alone.

    All but that of kinds are about failing sessions.
    """
    found = [Scenario(kind=name) for name in kinds]
    if FAIL in kinds:
        found += [Scenario(connections=number) for number in connections]
        found += [Scenario(rows=number) for number in rows]
        found += [Scenario(algorithm=name) for name in algorithms]
    return tuple(dict.fromkeys(found))
