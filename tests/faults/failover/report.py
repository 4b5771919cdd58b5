# SPDX-License-Identifier: MIT
"""Writes the table of failovers of docs/reliability.md, between its markers."""

import re
from collections.abc import Mapping
from pathlib import Path

from tests.faults.failover.outcome import Outcome

BEGIN, END = "<!-- failovers -->", "<!-- /failovers -->"
HEADS = (
    "failover", "operations", "acknowledged", "lost", "doubled", "untrue",
    "found out by repeating", "longest without an answer", "recovery", "noticed by",
    "after the repair",
)  # fmt: skip
COMMAND = "`python -m tests.faults.failover --commands {commands}`"


def write(found: Mapping[str, Outcome], page: Path, *, commands: int, day: str) -> None:
    text = page.read_text()
    block = "\n".join([BEGIN, section(found, commands=commands, day=day), END])
    page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL))


def section(found: Mapping[str, Outcome], *, commands: int, day: str) -> str:
    lines = [HEADS, ("---", *["---:"] * (len(HEADS) - 3), "---", "---")]
    lines += [_row(name, outcome) for name, outcome in found.items()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{COMMAND.format(commands=commands)}, measured on {day}:\n\n{table}"


def _row(name: str, found: Outcome) -> tuple[str, ...]:
    answers = found.answers
    counts = (
        answers.operations, answers.acknowledged, answers.lost, answers.doubled, answers.untrue,
        answers.found_out,
    )  # fmt: skip
    times = (found.silence, found.recovery)
    return (
        name, *(f"{count:,}" for count in counts), *(f"{each:.1f} s" for each in times),
        *_notice(found),
    )  # fmt: skip


def _notice(found: Outcome) -> tuple[str, str]:
    before, after = found.audit
    if before == 0:
        return "nothing to notice: `--audit` agrees", "–"
    noticed = f"`--audit`: {found.foreign:,} foreign, exit code {before}; {found.parked:,} parked"
    return noticed, "`--audit` agrees" if after == 0 else f"exit code {after}"
