# SPDX-License-Identifier: MIT
"""What a run has found, per fault, as a table and as JSON."""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate, islice, pairwise
from math import inf
from pathlib import Path

from tests.chaos.history import Attempt, Known, Wrong
from tests.chaos.nemesis import Span

HEADS = (
    "fault", "times", "operations", "acknowledged", "lost", "doubled", "untrue",
    "longest without an answer", "recovery (median)", "recovery (longest)",
)  # fmt: skip
COUNTED_APART = {"lost", "doubled"}
"""Every other kind of finding counts as untrue, so that the totals miss none."""

WHOLE_RUN = "**whole run**"
"""The row of all operations and findings, also of those that no request proves."""


@dataclass
class Row:
    """Of one kind of fault. Times in seconds; a recovery ends with the first success after it."""

    fault: str
    times: int = 0
    operations: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    untrue: int = 0
    silence: float = 0.0
    recoveries: list[float] = field(default_factory=list)

    def cells(self) -> Iterable[str]:
        yield self.fault
        counts = (self.times, self.operations, self.acknowledged)
        yield from (f"{count:,}" for count in (*counts, self.lost, self.doubled, self.untrue))
        ordered = sorted(self.recoveries) or [0.0]
        times = (self.silence, ordered[len(ordered) // 2], ordered[-1])
        yield from (f"{each:.1f} s" for each in times)


@dataclass
class Report:
    seed: int
    minutes: float
    users: int
    operations: int
    acknowledged: int
    answers: dict[str, int]
    rows: list[Row]
    wrong: list[str]
    notes: list[str]
    longest_answer: float

    @property
    def is_clean(self) -> bool:
        return not self.wrong

    def table(self) -> str:
        lines = [HEADS, ("---", *["---:"] * (len(HEADS) - 1))]
        lines += [tuple(row.cells()) for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def text(self) -> str:
        facts = [
            f"seed {self.seed}, {self.minutes:g} minutes, {self.users} users",
            f"{self.operations:,} operations",
            f"{self.acknowledged:,} were acknowledged, {len(self.wrong)} findings are wrong",
            f"the longest answer took {self.longest_answer:.1f} s",
            "answers: " + ", ".join(f"{name} {count:,}" for name, count in self.answers.items()),
            *self.notes,
        ]
        return "\n".join([*facts, "", self.table(), "", *self.wrong])

    def write(self, place: Path) -> None:
        """JSON, or Markdown if the name ends in .md."""
        text = self.text() if place.suffix == ".md" else json.dumps(asdict(self), indent=1)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")


def report(
    history: Sequence[Attempt],
    spans: Sequence[Span],
    wrong: Sequence[Wrong],
    *,
    seed: int,
    minutes: float,
    users: int,
    notes: Sequence[str],
) -> Report:
    done = [each for each in history if each.known is Known.DONE]
    answers = Counter(each.code or str(each.status or "no answer") for each in history)
    return Report(
        seed,
        minutes,
        users,
        len(history),
        len(done),
        dict(answers.most_common()),
        _rows(history, done, spans, wrong),
        [_with_faults(each, spans) for each in wrong],
        list(notes),
        max((each.ended - each.begun for each in history if each.ended < inf), default=0),
    )


def _with_faults(wrong: Wrong, spans: Iterable[Span]) -> str:
    """What the requests met, of which the last one is the first that cannot be true."""
    met = [span for span in spans if any(map(span.meets, wrong.proof[-1:]))]
    return "\n    ".join([str(wrong), *map(str, met)])


def _rows(
    history: Sequence[Attempt],
    done: Sequence[Attempt],
    spans: Sequence[Span],
    wrong: Sequence[Wrong],
) -> list[Row]:
    rows = {name: Row(name) for name in sorted({span.fault for span in spans})}
    ends = sorted(each.ended for each in done)
    successes = Successes(done)
    met = Met(history)
    during: dict[str, set[str]] = defaultdict(set)
    for span in spans:
        row = rows[span.fault]
        row.times += 1
        during[span.fault] |= {each.request_id for each in met.by(span)}
        first = successes.first_after(span.healed)
        row.silence = max(row.silence, _silence(ends, span.begun, max(first, span.healed)))
        row.recoveries.append(first - span.healed)
    acknowledged = {each.request_id for each in done}
    for name, requests in during.items():
        rows[name].operations = len(requests)
        rows[name].acknowledged = len(requests & acknowledged)
        for each in wrong:
            if requests & {attempt.request_id for attempt in each.proof}:
                _count(rows[name], each.kind)
    return [_whole_run(history, ends, rows.values(), wrong), *rows.values()]


def _whole_run(
    history: Sequence[Attempt],
    ends: Sequence[float],
    rows: Iterable[Row],
    wrong: Iterable[Wrong],
) -> Row:
    row = Row(WHOLE_RUN, 1, len(history), len(ends))
    row.recoveries = [each for other in rows for each in other.recoveries]
    if ends:
        row.silence = _silence(ends, min(each.begun for each in history), ends[-1])
    for each in wrong:
        _count(row, each.kind)
    return row


class Met:
    """Finds the requests that met a fault, without a look at all of a long history."""

    def __init__(self, history: Iterable[Attempt]) -> None:
        self._in_order = sorted(history, key=_beginning)
        self._longest = max((each.left - each.begun for each in self._in_order), default=0)

    def by(self, span: Span) -> Iterator[Attempt]:
        first = bisect_left(self._in_order, span.begun - self._longest, key=_beginning)
        for attempt in islice(self._in_order, first, None):
            if attempt.begun >= span.healed:
                return
            if span.meets(attempt):
                yield attempt


class Successes:
    def __init__(self, done: Iterable[Attempt]) -> None:
        in_order = sorted(done, key=_beginning)
        self._beginnings = [each.begun for each in in_order]
        latest_first = accumulate((each.ended for each in reversed(in_order)), min)
        self._first_ends = list(latest_first)[::-1]

    def first_after(self, moment: float) -> float:
        """The end of the first success among the requests that were sent after this moment."""
        later = bisect_left(self._beginnings, moment)
        return self._first_ends[later] if later < len(self._first_ends) else moment


def _beginning(attempt: Attempt) -> float:
    return attempt.begun


def _count(row: Row, kind: str) -> None:
    row.lost += kind == "lost"
    row.doubled += kind == "doubled"
    row.untrue += kind not in COUNTED_APART


def _silence(ends: Sequence[float], begun: float, until: float) -> float:
    """The longest time in which no request of any user succeeded."""
    inside = ends[bisect_left(ends, begun) : bisect_left(ends, until)]
    moments = [begun, *inside, until]
    return max(later - earlier for earlier, later in pairwise(moments))
