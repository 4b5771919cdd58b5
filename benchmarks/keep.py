# SPDX-License-Identifier: MIT
"""The file of results, and the rules for adding to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import CannotMeasure
from benchmarks.parts import Identity
from benchmarks.results import Results


@dataclass(frozen=True)
class Keep:
    """`add`: keep the results in the file; `again`: measure those again, too."""

    file: Path
    add: bool
    again: bool

    def begun(self, now: Results) -> Results:
        """Raises CannotMeasure if other conditions applied to the results in the file."""
        if not (self.add and self.file.exists()):
            return now
        earlier = Results.load(self.file)
        there, here = _facts(earlier), _facts(now)
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                raise CannotMeasure(
                    f"{self.file} cannot be added to: {name} was {there.get(name)},"
                    f" and is {here.get(name)} now."
                )
        return earlier

    def lacks(self, results: Results, identity: Identity) -> bool:
        return self.again or identity not in results


def _facts(results: Results) -> dict[str, Any]:
    return results.machine | results.settings | results.conditions
