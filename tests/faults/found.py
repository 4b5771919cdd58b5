# SPDX-License-Identifier: MIT
"""What a fault has done: every answer, the database, the stream and the audit compared."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.checker import Records, check
from tests.chaos.history import Attempt, Known, Wrong
from tests.faults.outbox_watch import OutboxWatch
from tests.faults.verdict import verdict
from tests.nats_server import Stored
from tests.running import a_connection
from tests.system.processes import Finished

HEADS = (
    "fault", "operations", "acknowledged", "lost", "doubled", "untrue",
    "longest without an answer", "outbox stood still", "recovery",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of one fault. Times in seconds.

    `silence`: the longest time in which no request of any user succeeded. `stood_still`: the
    longest time in which a waiting outbox did not move. `recovery`: from the repair until the
    outbox moved. `wrong`: a sentence for each finding.
    """

    operations: int
    acknowledged: int
    events: int
    lost: int
    doubled: int
    out_of_order: int
    untrue: int
    silence: float
    stood_still: float
    recovery: float
    wrong: Sequence[str] = ()

    @property
    def is_clean(self) -> bool:
        return not self.wrong


async def judged(
    history: Sequence[Attempt],
    url: str,
    *,
    stored: Sequence[Stored],
    audit: Finished,
    outbox: OutboxWatch,
    healed: float,
) -> Found:
    """`url`: of the database, in which no command is under way any more."""
    async with a_connection(url) as connection:
        sessions = await connection.fetch("SELECT * FROM sessions")
        events = await connection.fetch("SELECT * FROM events")
    records = Records([dict(each) for each in sessions], [dict(each) for each in events])
    wrong = await asyncio.to_thread(check, history, records)
    ids = (str(each["id"]) for each in events)
    stream = verdict(ids, stored, refusals=0, catch_up=0, take_over=None)
    if not stream.is_clean:
        wrong.append(Wrong("stream", str(stream)))
    if audit.code:
        wrong.append(Wrong("audit", audit.out + audit.err))
    done = [each for each in history if each.known is Known.DONE]
    return Found(
        operations=len(history),
        acknowledged=len(done),
        events=len(events),
        lost=stream.lost + _count(wrong, "lost"),
        doubled=stream.doubled + _count(wrong, "doubled"),
        out_of_order=stream.out_of_order,
        untrue=len(wrong) - _count(wrong, "lost", "doubled", "stream", "audit"),
        silence=_silence(done),
        stood_still=outbox.stood_still(),
        recovery=outbox.moved_after(healed),
        wrong=tuple(map(str, wrong)),
    )


def _count(wrong: Sequence[Wrong], *kinds: str) -> int:
    return sum(each.kind in kinds for each in wrong)


def _silence(done: Sequence[Attempt]) -> float:
    ends = sorted(each.ended for each in done)
    return max((later - earlier for earlier, later in pairwise(ends)), default=0.0)


def table(found: Mapping[str, Found]) -> str:
    lines = [HEADS, ("---", *["---:"] * (len(HEADS) - 1))]
    lines += [(name, *_cells(each)) for name, each in found.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(found: Found) -> tuple[str, ...]:
    counts = (found.operations, found.acknowledged, found.lost, found.doubled, found.untrue)
    times = (found.silence, found.stood_still, found.recovery)
    return (*(f"{each:,}" for each in counts), *(f"{each:.1f} s" for each in times))
