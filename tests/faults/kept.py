# SPDX-License-Identifier: MIT
"""The verdicts of a run, kept in a file, so that a run that was stopped can go on."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.faults.verdict import Verdict


class Kept:
    """`add`: to the verdicts in the file, if they are of as many sessions and seconds."""

    def __init__(self, file: Path, *, add: bool, conditions: dict[str, float]) -> None:
        self._file = file
        self._conditions = conditions
        self.verdicts: dict[str, Verdict] = {}
        if add and file.exists():
            before = json.loads(file.read_text())
            if before["conditions"] == conditions:
                self.verdicts = {name: Verdict(**each) for name, each in before["found"].items()}

    def lacking(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self.verdicts]

    def add(self, name: str, verdict: Verdict) -> None:
        self.verdicts[name] = verdict
        found = {name: asdict(each) for name, each in self.verdicts.items()}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps({"conditions": self._conditions, "found": found}))
