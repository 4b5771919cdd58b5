# SPDX-License-Identifier: MIT
"""Writes the table of docs/reliability.md, between its markers."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill

from tests.faults.found import Found, table
from tests.faults.growth import Growth

BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
WIDTH = 100
COMMAND = "`python -m tests.faults --sessions {sessions}`"


def write(found: Mapping[str, Found], growth: Growth, page: Path, *, sessions: int) -> None:
    text = page.read_text()
    measured = f"{COMMAND.format(sessions=sessions)}, measured on {datetime.now(UTC):%Y-%m-%d}:"
    block = f"{BEGIN}\n{measured}\n\n{table(found)}\n\n{_growth(growth)}\n{END}"
    page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL))


def _growth(growth: Growth) -> str:
    sentences = (
        f"While {growth.events:,} events went through it as fast as they could, the outbox and"
        f" its index had at most {growth.largest / 2**20:.1f} MiB. Autovacuum alone brought them to"
        f" {growth.last / 2**20:.1f} MiB, of which the table has none: an index keeps its empty"
        " pages for later rows."
    )
    return fill(sentences, WIDTH)
