# SPDX-License-Identifier: MIT
"""What a user's sessions are after each request, and which answers are true then."""

import json
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.history import READS, Attempt, Known
from tests.http.lives import Life, Person


@dataclass
class Owner(Person):
    """`due`: for each idempotency key the session right after the command, which replays show."""

    due: dict[str, Life] = field(default_factory=dict)


def step(state: Owner, attempt: Attempt) -> Owner | None:
    """The sessions afterwards; None if this answer is untrue now."""
    if attempt.verb in READS:
        return state if _is_true_read(state, attempt) else None
    if attempt.key in state.keys:
        return _repeated(state, attempt)
    return _commanded(state, attempt)


def fingerprint(state: Owner) -> Hashable:
    """Equal for states that no later request can tell apart."""
    due = ((key, life.version, str(life.dto())) for key, life in state.due.items())
    return frozenset(map(str, state.sessions.values())), frozenset(due)


def _commanded(state: Owner, attempt: Attempt) -> Owner | None:
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
        return state.active is not None and details.get("activeSessionId") == state.active.id
    if attempt.code == "INVALID_STATUS":
        return bool(details.get("currentStatus") == state.sessions[str(attempt.session_id)].status)
    return True


def _executed(state: Owner, attempt: Attempt) -> Owner | None:
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
    is_remembered = bool(attempt.key and new_events)
    if attempt.is_replay and not is_remembered:
        return None
    sessions = state.sessions | {life.id: life}
    if not is_remembered:
        return Owner(sessions, state.keys, state.due)
    key, content = str(attempt.key), attempt.content if attempt.known is Known.DONE else b""
    keys = state.keys | {key: (attempt.asked, content)}
    return Owner(sessions, keys, state.due | {key: life})


def _repeated(state: Owner, attempt: Attempt) -> Owner | None:
    key = str(attempt.key)
    asked, content = state.keys[key]
    if attempt.events:
        return None
    if attempt.known is Known.NOTHING:
        return state
    if asked != attempt.asked:
        return state if (attempt.status, attempt.code) == (422, "IDEMPOTENCY_KEY_REUSED") else None
    if attempt.known is not Known.DONE or not attempt.is_replay:
        return None
    if not _shows(attempt, state.due[key]) or (content and content != attempt.content):
        return None
    return Owner(state.sessions, state.keys | {key: (asked, attempt.content)}, state.due)


def _is_true_read(state: Person, attempt: Attempt) -> bool:
    if attempt.verb == "list":
        return attempt.status == 200 and _listed(state) == _shown(attempt)
    life = state.sessions.get(str(attempt.session_id))
    if life is None:
        return (attempt.status, attempt.code) == (404, "SESSION_NOT_FOUND")
    if attempt.verb == "events":
        return attempt.status == 200 and _is_true_history(life, attempt)
    return _shows(attempt, life)


def _shows(attempt: Attempt, life: Life) -> bool:
    """True for a success of the right status that shows this version of the session."""
    shown = attempt.data.get("session") or {}
    facts = (attempt.status, attempt.etag)
    expected = (201 if attempt.verb == "plan" else 200, f'"{life.version}"')
    return facts == expected and bool(shown | life.dto() == shown)


def _listed(state: Person) -> list[dict[str, Any]]:
    return [life.dto() for life in state.listed([], None, None)]


def _shown(attempt: Attempt) -> list[dict[str, Any]]:
    names = ("id", "status", "sessionDate", "sets", "totalReps", "rpe", "notes")
    return [{name: each.get(name) for name in names} for each in attempt.data.get("sessions", [{}])]


def _is_true_history(life: Life, attempt: Attempt) -> bool:
    names = ("sessionVersion", "type", "data")
    shown = [tuple(map(each.get, names)) for each in attempt.data.get("events", [])]
    return shown == [(number, *event) for number, event in enumerate(life.events, start=1)]


def content_of(**data: Any) -> bytes:
    return json.dumps({"data": data}).encode()
