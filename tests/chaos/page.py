# SPDX-License-Identifier: MIT
"""python -m tests.chaos.page REPORT…: writes tables of several runs into docs/reliability.md."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.report import HEADS, Report, Row

PAGE = Path("docs/reliability.md")
BEGIN, END = "<!-- chaos -->", "<!-- /chaos -->"
RUN_HEADS = (
    "seed", "minutes", "users", "operations", "acknowledged", "wrong", "longest answer",
)  # fmt: skip
COMMAND = "`python -m tests.chaos --minutes MINUTES --seed SEED --users USERS --report FILE`"


def main() -> int:
    """Returns the exit code: 0."""
    options = _parser().parse_args()
    reports = [loaded(json.loads(each.read_text())) for each in options.reports]
    text = options.page.read_text()
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    block = "\n".join([BEGIN, section(reports, day=day), END])
    options.page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL))
    return 0


def loaded(kept: dict[str, Any]) -> Report:
    return Report(**(kept | {"rows": [Row(**each) for each in kept["rows"]]}))


def section(reports: Sequence[Report], *, day: str) -> str:
    runs = _table(RUN_HEADS, map(_run_of, reports))
    faults = _table(HEADS, (row.cells() for row in merged(reports)))
    return f"{COMMAND}, measured on {day}:\n\n{runs}\n\nOf all these runs:\n\n{faults}"


def merged(reports: Iterable[Report]) -> list[Row]:
    """One row for each kind of fault."""
    rows: dict[str, Row] = {}
    for each in (row for report in reports for row in report.rows):
        row = rows.setdefault(each.fault, Row(each.fault))
        for name in ("times", "operations", "acknowledged", "lost", "doubled", "untrue"):
            setattr(row, name, getattr(row, name) + getattr(each, name))
        row.silence = max(row.silence, each.silence)
        row.recoveries += each.recoveries
    return [row for _, row in sorted(rows.items(), key=lambda item: item[0].lower())]


def _run_of(report: Report) -> tuple[str, ...]:
    counts = (report.users, report.operations, report.acknowledged, len(report.wrong))
    return (
        str(report.seed), f"{report.minutes:g}", *(f"{count:,}" for count in counts),
        f"{report.longest_answer:.1f} s",
    )  # fmt: skip


def _table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    ruler = ["---" if heads is HEADS else "---:", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ruler, *rows])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.page",
        description="Writes the tables of several runs of tests.chaos into a page.",
    )
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT", help="a .json of a run")
    parser.add_argument("--page", type=Path, default=PAGE, help="%(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
