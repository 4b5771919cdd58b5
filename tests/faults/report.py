# SPDX-License-Identifier: MIT
"""Writes the table of docs/reliability.md, between its markers."""

import re
from collections.abc import Mapping
from pathlib import Path

from tests.faults.growth import Growth
from tests.faults.verdict import Verdict

BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
HEADS = (
    "fault", "events committed", "in the stream", "lost", "doubled", "out of order",
    "API answers other than 200", "taken over after", "caught up after",
)  # fmt: skip


def write(found: Mapping[str, Verdict], growth: Growth, page: Path, *, sessions: int) -> None:
    text = page.read_text()
    block = f"{BEGIN}\n{_command(sessions)}\n\n{_table(found)}\n\n{_growth(growth)}\n{END}"
    page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL))


def _command(sessions: int) -> str:
    return f"`python -m tests.faults --sessions {sessions}`:"


def _table(found: Mapping[str, Verdict]) -> str:
    lines = [HEADS, ("---", *["---:"] * (len(HEADS) - 1))]
    lines += [_row(name, verdict) for name, verdict in found.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _growth(growth: Growth) -> str:
    return (
        f"While {growth.events:,} events went through it as fast as they could, the outbox and"
        f" its index had at most {growth.largest / 2**20:.1f} MiB. Autovacuum alone brought them to"
        f" {growth.last / 2**20:.1f} MiB, of which the table has none: an index keeps its empty"
        " pages for later rows."
    )


def _row(name: str, found: Verdict) -> tuple[str, ...]:
    counts = (
        found.committed, found.in_stream, found.lost, found.doubled, found.out_of_order,
        found.refusals,
    )  # fmt: skip
    times = ("–" if each is None else f"{each:.1f} s" for each in (found.take_over, found.catch_up))
    return (name, *(f"{count:,}" for count in counts), *times)
