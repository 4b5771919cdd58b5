# SPDX-License-Identifier: MIT
"""The checker finds every kind of wrong that is planted in a history, and nothing in a true one."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from math import inf
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.chaos.checker import Records, check
from tests.chaos.history import Attempt
from tests.chaos.model import content_of
from tests.http.lives import Life

DATE = "2026-11-22T09:00:00Z"
USER, SESSION = uuid4(), str(uuid4())
FAILED = {"reason": "shoulder pain"}


class Told:
    """A user who plans, reads, starts and fails a session; each request has its second."""

    def __init__(self) -> None:
        self.life = Life(SESSION, DATE, [], None)
        self.history: list[Attempt] = []
        self.events: list[dict[str, Any]] = []
        self.life.record("session_planned", {"sessionDate": DATE})
        self._answer(
            "plan", body={"sessionDate": DATE}, made=SESSION, key="key-of-plan", status=201
        )
        self._answer("get")
        self.execute("start")
        self._answer("get")
        self.execute("fail", FAILED)
        self._answer("get")

    def execute(self, verb: str, body: dict[str, Any] | None = None) -> None:
        self.life.execute(verb, body or {})
        self._answer(verb, body=body or {}, key=f"key-of-{verb}")

    def add(self, verb: str, **facts: Any) -> Attempt:
        """Without an event."""
        target = None if verb in {"plan", "list"} else SESSION
        begun = float(len(self.history))
        defaults: dict[str, Any] = {"begun": begun, "ended": begun + 0.5, "session_id": target}
        attempt = Attempt(f"request-{len(self.history)}", USER, verb, **defaults | facts)
        self.history.append(attempt)
        return attempt

    def refused(self, verb: str, status: int, code: str, **details: Any) -> Attempt:
        content = json.dumps({"error": {"code": code, "details": details}}).encode()
        return self.add(verb, status=status, code=code, content=content)

    def _answer(self, verb: str, **facts: Any) -> None:
        content = content_of(session=self.life.dto())
        etag = f'"{self.life.version}"'
        attempt = self.add(verb, **{"status": 200, "etag": etag, "content": content} | facts)
        if verb != "get":
            self.event(attempt, self.life.version)

    def event(self, attempt: Attempt, version: int) -> None:
        kind, data = self.life.events[-1]
        self.events.append(
            {
                "user_id": USER, "id": uuid4(), "session_id": UUID(SESSION), "event_type": kind,
                "session_version": version, "event_data": data, "request_id": attempt.request_id,
            }
        )  # fmt: skip

    def row(self) -> dict[str, Any]:
        return {
            "user_id": USER, "id": UUID(SESSION), "status": self.life.status,
            "version": self.life.version, "session_date": datetime.fromisoformat(DATE),
            "sets": self.life.sets, "rpe": self.life.rpe, "notes": self.life.notes,
        }  # fmt: skip

    def of(self, verb: str, number: int = 0) -> Attempt:
        return [each for each in self.history if each.verb == verb][number]

    def kinds(self) -> set[str]:
        return {each.kind for each in check(self.history, Records([self.row()], self.events))}


@pytest.fixture
def told() -> Told:
    return Told()


def _unknown(attempt: Attempt) -> None:
    attempt.status, attempt.ended, attempt.content, attempt.etag = None, inf, b"", None


def nothing_else(told: Told) -> None:
    pass


def an_unknown_result(told: Told) -> None:
    """The event shows that the command was executed."""
    _unknown(told.of("fail"))


def a_lost_request(told: Told) -> None:
    told.add("start", key="never-arrived", begun=2.0, ended=inf)


def a_replay(told: Told) -> None:
    first = told.of("fail")
    told.add("fail", body=FAILED, key=first.key, status=200, etag=first.etag, is_replay=True,
             content=first.content)  # fmt: skip


def a_true_refusal(told: Told) -> None:
    told.refused("start", 409, "INVALID_STATUS", currentStatus="failed")


def a_refusal_without_execution(told: Told) -> None:
    told.refused("fail", 503, "OVERLOADED")


@pytest.mark.parametrize(
    "plant",
    [
        nothing_else, an_unknown_result, a_lost_request, a_replay, a_true_refusal,
        a_refusal_without_execution,
    ],
)  # fmt: skip
def test_finds_nothing_in_a_true_history(told: Told, plant: Callable[[Told], None]) -> None:
    plant(told)

    assert told.kinds() == set()


def an_acknowledged_command_is_lost(told: Told) -> None:
    told.events.pop()
    told.life.events.pop()
    told.life.status = "in_progress"


def a_command_is_executed_twice(told: Told) -> None:
    told.events.append(told.events[-1] | {"id": uuid4(), "session_version": 4})


def two_commands_are_reordered(told: Told) -> None:
    start, fail = told.of("start"), told.of("fail")
    start.begun, fail.begun = fail.begun, start.begun
    start.ended, fail.ended = fail.ended, start.ended


def a_read_is_stale(told: Told) -> None:
    before, last = told.of("get", 1), told.of("get", 2)
    last.content, last.etag = before.content, before.etag


def an_overload_was_executed(told: Told) -> None:
    told.of("fail").status, told.of("fail").code = 503, "OVERLOADED"


def a_refused_user_was_served(told: Told) -> None:
    told.of("fail").status, told.of("fail").code = 429, "TOO_MANY_REQUESTS"


def a_replay_has_another_body(told: Told) -> None:
    a_replay(told)
    told.history[-1].content = told.of("start").content


def a_stranger_reads_it(told: Told) -> None:
    read = deepcopy(told.of("get", 2))
    read.user_id, read.request_id = uuid4(), "of a stranger"
    told.history.append(read)


def a_refusal_names_a_status_that_never_was(told: Told) -> None:
    told.refused("start", 409, "INVALID_STATUS", currentStatus="completed")


def an_event_of_no_request(told: Told) -> None:
    told.events[-1]["request_id"] = "unheard of"


def a_version_is_missing(told: Told) -> None:
    told.events[-1]["session_version"] = 7


def an_error_is_unexpected(told: Told) -> None:
    told.refused("get", 500, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (an_acknowledged_command_is_lost, "lost"),
        (an_acknowledged_command_is_lost, "impossible"),
        (a_command_is_executed_twice, "doubled"),
        (two_commands_are_reordered, "impossible"),
        (a_read_is_stale, "impossible"),
        (an_overload_was_executed, "untrue"),
        (a_refused_user_was_served, "untrue"),
        (a_replay_has_another_body, "impossible"),
        (a_stranger_reads_it, "impossible"),
        (a_refusal_names_a_status_that_never_was, "impossible"),
        (an_event_of_no_request, "invented"),
        (a_version_is_missing, "gap"),
        (an_error_is_unexpected, "unexpected"),
    ],
)
def test_finds_what_is_wrong(told: Told, plant: Callable[[Told], None], kind: str) -> None:
    plant(told)

    assert kind in told.kinds()
