# SPDX-License-Identifier: MIT
"""Changes the code in small ways, one at a time, and shows the changes that no test notices.

`make mutants ARGS="service.domain.*"` for one package. Results are kept in `mutants/`: the next
run tests only functions that have changed, and what an interrupted run has left.
"""

import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from tests.mutants.results import Change, mutants

MINUTES_MAX = 60
LEAST_KILLED = 0.9
LISTED = Path(__file__).with_name("survivors.toml")


def main() -> int:
    """Not 0 if a survivor is not listed, or too few are killed."""
    mutmut = [sys.executable, "-m", "mutmut", "run", "--max-children", "1", *sys.argv[1:]]
    try:
        subprocess.run(mutmut, timeout=60 * MINUTES_MAX, check=True)
    except subprocess.TimeoutExpired:
        print(f"Stopped after {MINUTES_MAX} minutes; the next run goes on from here.")
    tested = [each for each in mutants() if each.is_tested and not each.is_equivalent]
    survivors = [each for each in tested if each.has_survived]
    _print_files(
        Counter(str(each.file) for each in tested),
        survivors_of=Counter(str(each.file) for each in survivors),
    )
    unlisted = [change for each in survivors if (change := each.change) not in _listed()]
    for change in unlisted:
        print(_as_toml(change))
    killed = 1 - len(survivors) / max(len(tested), 1)
    print(
        f"{len(tested)} mutants, {len(tested) - len(survivors)} killed ({killed:.1%});"
        f" {len(unlisted)} of {len(survivors)} survivors are not listed in {LISTED.name}"
    )
    return int(bool(unlisted) or killed < LEAST_KILLED)


def _print_files(tested: Counter[str], *, survivors_of: Counter[str]) -> None:
    for file, number in sorted(tested.items()):
        print(f"{number - survivors_of[file]:5} of {number:5} killed in {file}")


def _listed() -> set[Change]:
    listed = tomllib.loads(LISTED.read_text()).get("survivor", [])
    return {(each["function"], each["before"], each["after"]) for each in listed}


def _as_toml(change: Change) -> str:
    function, before, after = (part.replace("'''", '"""') for part in change)
    return (
        f"[[survivor]]\nfunction = '{function}'\n"
        f"before = '''{before}'''\nafter = '''{after}'''\nreason = ''\n"
    )


if __name__ == "__main__":
    sys.exit(main())
