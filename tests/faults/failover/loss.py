# SPDX-License-Identifier: MIT
"""Which findings follow from the loss of commits, and from nothing else.

The new primary has the first commits of the old one, and goes on from there. So two histories must
be true: all that the old primary answered, and that of the new one, which begins with the commands
that were not lost.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from uuid import UUID

from tests.chaos.checker import Records, check, judge_user
from tests.chaos.history import READS, Attempt, Known, Wrong


@dataclass
class Loss:
    """`lost`: keys of acknowledged commands that the database does not have.

    `crashed`: when the old primary was gone, and the new one did not serve yet. What was sent after
    that may not be lost.
    """

    history: Sequence[Attempt]
    records: Records
    lost: Collection[str]
    crashed: float

    def explains(self, wrong: Wrong) -> bool:
        users = {attempt.user_id for attempt in wrong.proof}
        if not users or not users <= self._losers:
            return False
        if wrong.kind == "lost":
            return all(attempt.begun < self.crashed for attempt in wrong.proof)
        return wrong.kind == "impossible" and all(map(self._has_two_true_histories, users))

    @cached_property
    def _losers(self) -> set[UUID]:
        return {each.user_id for each in self.history if each.key in self.lost}

    def _has_two_true_histories(self, user_id: UUID) -> bool:
        own = [each for each in self.history if each.user_id == user_id]
        return not judge_user(list(self._by_the_old(own))) and not check(
            list(self._by_the_new(own)), self._rows_of(user_id)
        )

    def _by_the_old(self, attempts: Iterable[Attempt]) -> Iterable[Attempt]:
        """Its answers, and commands that it may have executed.

        The database no longer knows which of the lost ones it did.
        """
        for each in attempts:
            if each.begun >= self.crashed or each.known is Known.NOT_EXECUTED:
                continue
            if each.ended < self.crashed:
                yield each if each.events else replace(each, events=None)
            elif each.verb not in READS:  # perhaps the new one has answered
                yield replace(each, status=None, ended=inf, events=None)

    def _by_the_new(self, attempts: Iterable[Attempt]) -> Iterable[Attempt]:
        """Its answers, and all commands that it has, some of which the old one has answered."""
        return (each for each in attempts if each.events or each.begun >= self.crashed)

    def _rows_of(self, user_id: UUID) -> Records:
        sessions = [each for each in self.records.sessions if each["user_id"] == user_id]
        events = [each for each in self.records.events if each["user_id"] == user_id]
        return Records(sessions, events)
