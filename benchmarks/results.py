# SPDX-License-Identifier: MIT
"""Results, as they are stored between measuring and reporting."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from benchmarks.parts import (
    RESULT_TYPES,
    Flooded,
    Identity,
    Measurement,
    Metered,
    Recovery,
    Relayed,
    Result,
    Soak,
)
from benchmarks.plan import Scenario

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        each = list(values)
        return cls(median(each), min(each), max(each))


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
    return RESULT_TYPES[part](**values)
