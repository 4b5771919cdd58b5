# SPDX-License-Identifier: MIT
"""What a user's sessions are after each request, and which answers are true then."""

import json
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from tests.chaos.history import Attempt, Known
from tests.http.lives import Life, Person


def step(state: Person, attempt: Attempt) -> Person | None:
    """The sessions afterwards; None if this answer is untrue now."""
    if attempt.verb == "get":
        return state if _is_true_get(state, attempt) else None
    if attempt.verb == "list":
        return state if _listed(state) == _shown(attempt.data["sessions"]) else None
    if attempt.verb == "events":
        return state if _is_true_history(state, attempt) else None
    if attempt.key in state.keys:
        return _repeated(state, attempt)
    return _commanded(state, attempt)


def fingerprint(state: Person) -> Hashable:
    """Equal for states that no later request can tell apart."""
    lives = ((str(life), life.version) for life in map(_without_events, state.sessions.values()))
    return frozenset(lives), frozenset(state.keys)


def _without_events(life: Life) -> Life:
    return replace(life, events=[("", {})] * life.version)


def _commanded(state: Person, attempt: Attempt) -> Person | None:
    status, code = _expected(state, attempt)
    if code is not None:
        if attempt.known is Known.NOTHING:
            return None if attempt.events else state
        is_true = (attempt.status, attempt.code) == (status, code)
        return state if is_true and _tells_why(state, attempt) else None
    if attempt.known not in {Known.DONE, Known.NOTHING}:
        return None
    return _executed(state, attempt)


def _expected(state: Person, attempt: Attempt) -> tuple[int, str | None]:
    if attempt.verb == "plan":
        return state.answer_to_plan(attempt.body)
    return state.answer_to(attempt.verb, str(attempt.session_id), attempt.body, attempt.if_match)


def _tells_why(state: Person, attempt: Attempt) -> bool:
    """False if a refusal names another reason than there is."""
    details = attempt.details
    if attempt.code == "ACTIVE_SESSION_EXISTS":
        return state.active is not None and details["activeSessionId"] == state.active.id
    if attempt.code == "INVALID_STATUS":
        return bool(details["currentStatus"] == state.sessions[str(attempt.session_id)].status)
    return True


def _executed(state: Person, attempt: Attempt) -> Person | None:
    if attempt.verb == "plan":
        life = Life(
            str(attempt.made), attempt.body["sessionDate"], attempt.body.get("sets", []),
            attempt.body.get("notes"),
        )  # fmt: skip
        life.record("session_planned", {"sessionDate": life.date})
        if attempt.body.get("startNow"):
            life.execute("start", {})
    else:
        before = state.sessions[str(attempt.session_id)]
        life = replace(before, events=[*before.events])
        if before.is_changed_by(attempt.verb, attempt.body):
            life.execute(attempt.verb, attempt.body)
    new_events = life.version - (0 if attempt.verb == "plan" else state.sessions[life.id].version)
    if attempt.events not in (None, new_events):
        return None
    if attempt.known is Known.DONE and not _shows(attempt, life):
        return None
    keys = state.keys
    if attempt.key and new_events:
        content = attempt.content if attempt.known is Known.DONE else b""
        keys = state.keys | {attempt.key: (attempt.asked, content)}
    return Person(state.sessions | {life.id: life}, keys)


def _repeated(state: Person, attempt: Attempt) -> Person | None:
    asked, content = state.keys[str(attempt.key)]
    if attempt.events:
        return None
    if attempt.known is Known.NOTHING:
        return state
    if asked != attempt.asked:
        return state if (attempt.status, attempt.code) == (422, "IDEMPOTENCY_KEY_REUSED") else None
    if attempt.known is not Known.DONE or not attempt.is_replay:
        return None
    if content and content != attempt.content:
        return None
    return Person(state.sessions, state.keys | {str(attempt.key): (asked, attempt.content)})


def _is_true_get(state: Person, attempt: Attempt) -> bool:
    life = state.sessions.get(str(attempt.session_id))
    if life is None:
        return attempt.code == "SESSION_NOT_FOUND"
    return attempt.status == 200 and _shows(attempt, life)


def _shows(attempt: Attempt, life: Life) -> bool:
    shown = attempt.data["session"]
    return attempt.etag == f'"{life.version}"' and shown | life.dto() == shown


def _listed(state: Person) -> list[dict[str, Any]]:
    return [life.dto() for life in state.listed([], None, None)]


def _shown(sessions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("id", "status", "sessionDate", "sets", "totalReps", "rpe", "notes")
    return [{name: each[name] for name in names} for each in sessions]


def _is_true_history(state: Person, attempt: Attempt) -> bool:
    life = state.sessions.get(str(attempt.session_id))
    if life is None:
        return attempt.code == "SESSION_NOT_FOUND"
    shown = [
        (each["sessionVersion"], each["type"], each["data"]) for each in attempt.data["events"]
    ]
    return shown == [(number, *event) for number, event in enumerate(life.events, start=1)]


def content_of(**data: Any) -> bytes:
    return json.dumps({"data": data}).encode()
