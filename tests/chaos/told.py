# SPDX-License-Identifier: MIT
"""A true history of one session, in which tests plant what is wrong."""

import json
from datetime import datetime
from math import inf
from typing import Any
from uuid import UUID, uuid4

from tests.chaos.checker import Records, check
from tests.chaos.history import Attempt
from tests.chaos.model import content_of
from tests.http.lives import Life

DATE = "2026-11-22T09:00:00Z"
USER, SESSION = uuid4(), str(uuid4())
FAILED = {"reason": "shoulder pain"}


class Told:
    """A user who plans, reads, starts and fails a session; each request has its second."""

    def __init__(self, *, is_only_planned: bool = False) -> None:
        self.life = Life(SESSION, DATE, [], None)
        self.history: list[Attempt] = []
        self.events: list[dict[str, Any]] = []
        self.life.record("session_planned", {"sessionDate": DATE})
        self._answer(
            "plan", body={"sessionDate": DATE}, made=SESSION, key="key-of-plan", status=201
        )
        self._answer("get")
        if is_only_planned:
            return
        self.execute("start")
        self._answer("get")
        self.execute("fail", FAILED)
        self._answer("get")

    def execute(self, verb: str, body: dict[str, Any] | None = None) -> Attempt:
        self.life.execute(verb, body or {})
        return self._answer(verb, body=body or {}, key=f"key-of-{verb}")

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

    def _answer(self, verb: str, **facts: Any) -> Attempt:
        content = content_of(session=self.life.dto())
        etag = f'"{self.life.version}"'
        attempt = self.add(verb, **{"status": 200, "etag": etag, "content": content} | facts)
        if verb != "get":
            self.event(attempt, self.life.version)
        return attempt

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


def lose_answer(attempt: Attempt) -> None:
    """The user does not know the result; the events of the database show it."""
    attempt.status, attempt.ended, attempt.content, attempt.etag = None, inf, b"", None
