# SPDX-License-Identifier: MIT
"""What a run has found, kept in a file, so that a run that was stopped can go on."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.faults.found import Found


class Kept:
    """`add`: to what is in the file, if they are of as many sessions and seconds."""

    def __init__(self, file: Path, *, add: bool, conditions: dict[str, float]) -> None:
        self._file = file
        self._conditions = conditions
        self.found: dict[str, Found] = {}
        if add and file.exists():
            before = json.loads(file.read_text())
            if before["conditions"] == conditions:
                self.found = {name: Found(**each) for name, each in before["found"].items()}

    def lacking(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self.found]

    def add(self, name: str, found: Found) -> None:
        self.found[name] = found
        all_found = {name: asdict(each) for name, each in self.found.items()}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps({"conditions": self._conditions, "found": all_found}))
