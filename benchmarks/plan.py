# SPDX-License-Identifier: MIT
"""The plan of a run: contenders, scenarios, rounds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

LIVED, FAIL, READ, REREAD, MIXED = "lived", "fail", "read", "reread", "mixed"
"""Kinds of load: users who train with an app, one token each; users who read again, with a token
that is known; or requests each with a new token: fail sessions, read them, or plan, start and fail
them."""

KINDS = LIVED, FAIL, READ, REREAD, MIXED
READING = READ, REREAD
HS256, ES256 = "HS256", "ES256"
LOAD, RECOVERY, FLOOD, RELAY = "load", "recovery", "flood", "relay"
METRICS, SOAK = "metrics", "soak"
PARTS = LOAD, RECOVERY, FLOOD, RELAY, METRICS, SOAK

WORKERS = 2
POOL_SIZE = 10
"""Database connections per worker, the same for every contender."""


@dataclass(frozen=True, slots=True, order=True)
class Scenario:
    """`rows`: present sessions, beside those that the load changes or reads."""

    kind: str = FAIL
    connections: int = 64
    rows: int = 10_000
    algorithm: str = HS256

    def __str__(self) -> str:
        return f"{self.kind}, {self.connections} clients, {self.rows:,} rows, {self.algorithm}"

    def differences(self) -> set[str]:
        """The names of the fields that differ from the base."""
        names = (field.name for field in fields(self))
        return {name for name in names if getattr(self, name) != getattr(BASE, name)}


BASE = Scenario()
APP, LIVES = Scenario(kind=LIVED), Scenario(kind=MIXED)
READS, REREADS = Scenario(kind=READ), Scenario(kind=REREAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Times in seconds. `rate_max`: sessions are prepared for this many requests per second."""

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
        """The number of requests to prepare: more than any contender answers in one measurement."""
        return self.rate_max * (self.warm_up + self.duration)

    @property
    def conditions(self) -> dict[str, Any]:
        """The conditions that must be equal for figures in one table."""
        return {"duration": self.duration, "warm_up": self.warm_up, "service": self.service}


def sweeps(
    kinds: Sequence[str],
    connections: Sequence[int],
    rows: Sequence[int],
    algorithms: Sequence[str],
) -> tuple[Scenario, ...]:
    """Scenarios that each change one field of the base, so that its effect is seen alone.

    All sweeps except that of kinds fail sessions.
    """
    found = [Scenario(kind=name) for name in kinds]
    if FAIL in kinds:
        found += [Scenario(connections=number) for number in connections]
        found += [Scenario(rows=number) for number in rows]
        found += [Scenario(algorithm=name) for name in algorithms]
    return tuple(dict.fromkeys(found))
