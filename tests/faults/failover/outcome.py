# SPDX-License-Identifier: MIT
"""What a failover has cost, and how it is noticed: answers, database, stream and audit compared."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.checker import Records, check
from tests.chaos.history import READS, Attempt, Known
from tests.chaos.report import COUNTED_APART
from tests.faults.failover.loss import Loss


@dataclass(frozen=True, kw_only=True)
class Answers:
    """`operations`: requests. `found_out`: keys whose result a repetition told.

    `lost`: acknowledged commands that the database does not have. `untrue`: answers that neither
    an order of the requests nor the loss explains.
    """

    operations: int
    acknowledged: int
    found_out: int
    lost: int
    doubled: int
    untrue: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`foreign`, `parked`: before the operator acts. `audit`: the exit codes, before and after.

    Times in seconds.
    """

    answers: Answers
    silence: float
    recovery: float
    foreign: int
    parked: int
    audit: tuple[int, int]

    @property
    def is_lossless(self) -> bool:
        return not (self.answers.lost or self.foreign or self.parked or any(self.audit))


def judge(history: Sequence[Attempt], records: Records, *, crashed: float) -> Answers:
    """`crashed`: when the old primary was gone, and the new one did not serve yet."""
    done = [each for each in history if each.known is Known.DONE and each.verb not in READS]
    executed = Counter(event["idempotency_key"] for event in records.events)
    lost = {str(each.key): each for each in done if not executed[each.key]}
    found = check(history, records)
    loss = Loss(history, records, lost, crashed)
    wrong = [each for each in found if not loss.explains(each)]
    return Answers(
        operations=len(history),
        acknowledged=len({each.key for each in done}),
        found_out=len({each.key for each in done} & _unknown(history)),
        lost=len(lost),
        doubled=sum(each.kind == "doubled" for each in wrong),
        untrue=sum(each.kind not in COUNTED_APART for each in wrong),
        wrong=tuple(map(str, wrong)),
    )


def _unknown(history: Iterable[Attempt]) -> set[str | None]:
    return {each.key for each in history if each.key and each.known is Known.NOTHING}
