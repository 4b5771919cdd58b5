# SPDX-License-Identifier: MIT
"""Writes the tables of docs/reliability.md, between their markers."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.brokers.durability import CASES, Survived
from tests.faults.brokers.flips import Harm

COMMAND = "python -m tests.faults.brokers"


def write(part: str, text: str, page: Path) -> None:
    """Replaces the text between the markers of this part."""
    begin, end = f"<!-- faults of brokers: {part} -->", f"<!-- /faults of brokers: {part} -->"
    measured = f"`{COMMAND} --parts {part}`, measured on {datetime.now(UTC):%Y-%m-%d}:"
    block = f"{begin}\n{measured}\n\n{text}\n{end}"
    page.write_text(re.sub(f"{begin}.*{end}", lambda _: block, page.read_text(), flags=re.DOTALL))


def of_durability(found: Mapping[str, Survived]) -> str:
    heads = (
        "what happens",
        "brokers",
        "`sync_interval`",
        "acknowledged",
        "lost",
        "after `--replay`",
    )
    return _table(
        heads,
        [
            (
                case.what,
                str(case.brokers),
                f"`{case.sync}`" if case.sync else "default",
                f"{found[name].acknowledged:,}",
                _lost(found[name]),
                _mended(found[name]),
            )
            for name, case in CASES.items()
            if name in found
        ],
    )


def _lost(each: Survived) -> str:
    return "all, the stream is missing" if each.is_stream_missing else f"{each.lost:,}"


def _mended(each: Survived) -> str:
    if not each.is_mended:
        return "not mended"
    return "whole, once all disks are empty" if each.must_empty_all else "whole"


def of_flips(found: Sequence[Harm]) -> str:
    fields: dict[str, list[Harm]] = defaultdict(list)
    for each in found:
        fields[each.field].append(each)
    heads = ("the bit is in", "flips", "events lost", "the broker", "found", "after `--replay`")
    return _table(heads, [_row_of_flips(field, each) for field, each in fields.items()])


def _row_of_flips(field: str, harms: Sequence[Harm]) -> tuple[str, ...]:
    lost = [harm.unreadable for harm in harms]
    return (
        field,
        str(len(harms)),
        str(lost[0]) if len(set(lost)) == 1 else f"{min(lost)} to {max(lost)}",
        _broker(harms),
        ", ".join(sorted({harm.found or "no" for harm in harms})),
        _after(harms),
    )


def _broker(harms: Iterable[Harm]) -> str:
    if not all(harm.does_start for harm in harms):
        return "does not start"
    if any(harm.is_stream_gone for harm in harms):
        return "gives up the stream"
    if any(harm.audit.foreign for harm in harms):
        return "gives another message"
    return "says nothing"


def _after(harms: Sequence[Harm]) -> str:
    if not all(harm.is_mended for harm in harms):
        return "not mended"
    if not any(harm.unreadable for harm in harms):
        return "–"
    words = ["whole"]
    if any(harm.left.code for harm in harms):
        words.append("out of order")
    if any(harm.needs_deletion for harm in harms):
        words.append("once the other message was deleted")
    return ", ".join(words)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ("---", *["---:" if _is_number(each) else "---" for each in heads[1:]]), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


NUMBERS = {"acknowledged", "lost", "brokers", "flips", "events lost"}


def _is_number(head: str) -> bool:
    return head in NUMBERS
