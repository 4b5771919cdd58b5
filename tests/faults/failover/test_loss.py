# SPDX-License-Identifier: MIT
"""A loss excuses the answers that follow from it, and no other answer of the same user."""

from copy import deepcopy
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.chaos.checker import Records
from tests.chaos.history import Attempt
from tests.chaos.model import content_of
from tests.faults.failover.outcome import Answers, judge
from tests.http.lives import Life

DATE = "2026-11-22T09:00:00Z"
USER, SESSION = uuid4(), str(uuid4())
CRASHED = 10.0


class Told:
    """A user whose last command, `fail`, was acknowledged by the old primary, and lost."""

    def __init__(self) -> None:
        self.history: list[Attempt] = []
        life = Life(SESSION, DATE, [], None)
        life.record("session_planned", {"sessionDate": DATE})
        self.answer(1, "plan", life, body={"sessionDate": DATE}, made=SESSION, key="plan")
        self.planned = deepcopy(life)
        life.execute("start", {})
        self.answer(2, "start", life, key="start")
        self.started = deepcopy(life)
        life.execute("fail", {})
        self.answer(3, "fail", life, key="fail")
        self.failed = deepcopy(life)
        self.answer(4, "get", self.failed)
        self.answer(11, "get", self.started)

    def answer(self, second: float, verb: str, life: Life, **facts: Any) -> Attempt:
        target = None if verb == "plan" else SESSION
        attempt = Attempt(
            f"request-{second}", USER, verb, target, begun=second, ended=second + 0.5,
            left=second + 0.5, status=201 if verb == "plan" else 200, etag=f'"{life.version}"',
            content=content_of(session=life.dto()), **facts,
        )  # fmt: skip
        self.history.append(attempt)
        return attempt

    def judged(self) -> Answers:
        """By a database that has the first two commands."""
        life = self.started
        row = {
            "user_id": USER, "id": UUID(SESSION), "status": life.status, "version": life.version,
            "session_date": datetime.fromisoformat(DATE), "sets": life.sets, "rpe": life.rpe,
            "notes": life.notes,
        }  # fmt: skip
        events = [
            {
                "user_id": USER, "id": uuid4(), "session_id": UUID(SESSION), "event_type": kind,
                "session_version": version, "event_data": data,
                "request_id": f"request-{version}", "idempotency_key": key,
            }
            for version, (key, (kind, data)) in enumerate(
                zip(["plan", "start"], life.events, strict=True), start=1
            )
        ]  # fmt: skip
        return judge(self.history, Records([row], events), crashed=CRASHED)


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_lost_command_and_the_reads_that_showed_it_are_explained(told: Told) -> None:
    found = told.judged()

    assert (found.lost, found.untrue, found.wrong) == (1, 0, ())


def test_a_command_that_was_under_way_is_explained_as_well(told: Told) -> None:
    told.answer(9.8, "fail", told.failed, key="fail", is_replay=True)

    assert told.judged().untrue == 0


@pytest.mark.parametrize("second", [2.6, 12])
def test_an_answer_that_neither_primary_can_have_given_is_untrue(told: Told, second: float) -> None:
    told.answer(second, "get", told.planned)

    assert told.judged().untrue == 1


def test_a_read_of_what_is_lost_is_untrue_after_the_failover(told: Told) -> None:
    told.answer(12, "get", told.failed)

    assert told.judged().untrue == 1


def test_a_command_that_the_new_primary_acknowledged_may_not_be_lost(told: Told) -> None:
    told.answer(12, "fail", told.failed, key="again")

    assert told.judged().wrong
