# SPDX-License-Identifier: MIT
"""Compares what users were told with the database and the stream."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tests.chaos.history import READS, Attempt, Known, Wrong
from tests.chaos.linearizability import Undecided, order_of
from tests.chaos.model import Owner, content_of, fingerprint, step
from tests.chaos.tokens import Published, untrue_refusals
from tests.contract import RECORDED

PROOF_MAX = 8


@dataclass(frozen=True)
class Records:
    """What the database has at the end: rows of `sessions` and `events`, and ids of the outbox."""

    sessions: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]


def check(history: Sequence[Attempt], records: Records, published: Published = ()) -> list[Wrong]:
    """All findings. Completes the history by what the database knows of each request.

    `published`: the key sets of the issuer.
    """
    by_request: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in records.events:
        by_request[event["request_id"]].append(event)
    for attempt in history:
        events = by_request.get(attempt.request_id, [])
        attempt.events = len(events)
        if attempt.verb == "plan" and events:
            attempt.made = str(events[0]["session_id"])
    found = [*_untrue(history, by_request), *_invented(history, by_request)]
    found += [*_repetitions(history), *untrue_refusals(history, published)]
    found += _gaps(records)
    found += [
        Wrong("unexpected", "an unexpected error (500)", (attempt,))
        for attempt in history
        if attempt.status == 500
    ]
    return found + _impossible(history, records)


def _untrue(
    history: Iterable[Attempt], by_request: Mapping[str, list[Mapping[str, Any]]]
) -> Iterable[Wrong]:
    """Answers that the events contradict, and commands that were executed twice."""
    for attempt in history:
        kinds = Counter(event["event_type"] for event in by_request.get(attempt.request_id, []))
        if kinds and attempt.known in {Known.REFUSED, Known.NOT_EXECUTED}:
            yield Wrong("untrue", "a command was refused, and executed", (attempt,))
        if attempt.verb in READS and kinds:
            yield Wrong("untrue", "a read has an event", (attempt,))
        if any(count > 1 for count in kinds.values()):
            yield Wrong("doubled", f"one request has {dict(kinds)}", (attempt,))
        expects = attempt.known is Known.DONE and attempt.verb not in READS
        is_new = expects and not attempt.is_replay and attempt.verb != "update"
        if is_new and RECORDED[attempt.verb] not in kinds:
            yield Wrong("lost", "a command was acknowledged, and has no event", (attempt,))


def _repetitions(history: Iterable[Attempt]) -> Iterable[Wrong]:
    """Commands that a key did not keep from a second execution, and replays of nothing."""
    executed: dict[tuple[UUID, str], list[Attempt]] = defaultdict(list)
    for attempt in history:
        if attempt.key and attempt.events:
            executed[attempt.user_id, attempt.key].append(attempt)
    for attempts in executed.values():
        if len(attempts) > 1:
            yield Wrong("doubled", "several requests of one key were executed", tuple(attempts))
    for attempt in history:
        is_acknowledged = attempt.known is Known.DONE and attempt.is_replay
        if is_acknowledged and (attempt.user_id, attempt.key) not in executed:
            yield Wrong("lost", "a replay acknowledged a command that has no event", (attempt,))


def _invented(
    history: Iterable[Attempt], by_request: Mapping[str, list[Mapping[str, Any]]]
) -> Iterable[Wrong]:
    known = {attempt.request_id for attempt in history}
    for request_id in by_request.keys() - known:
        yield Wrong("invented", f"an event of a request that was never sent: {request_id}")


def _gaps(records: Records) -> list[Wrong]:
    versions: dict[UUID, list[int]] = defaultdict(list)
    for event in records.events:
        versions[event["session_id"]].append(event["session_version"])
    found = []
    for session in records.sessions:
        there = sorted(versions.pop(session["id"], []))
        if there != list(range(1, session["version"] + 1)):
            sentence = f"session {session['id']} has version {session['version']}, events {there}"
            found.append(Wrong("gap", sentence))
    found += [Wrong("gap", f"session {each} has events, and no row") for each in versions]
    return found


def _impossible(history: Sequence[Attempt], records: Records) -> list[Wrong]:
    """Users whose answers no order of their requests explains."""
    found = []
    ends = _ends(records)
    users: dict[UUID, list[Attempt]] = defaultdict(list)
    for attempt in history:
        if _has_an_effect_or_a_meaning(attempt):
            users[attempt.user_id].append(attempt)
    for user_id, attempts in users.items():
        found += judge_user([*attempts, *ends.pop(user_id, _nothing(user_id))])
    found += [Wrong("invented", f"sessions of {each}, who sent nothing") for each in ends]
    return found


def _has_an_effect_or_a_meaning(attempt: Attempt) -> bool:
    if attempt.known is Known.NOTHING:
        return bool(attempt.events)
    return attempt.known is not Known.NOT_EXECUTED


def judge_user(attempts: Sequence[Attempt]) -> list[Wrong]:
    """Is there an order of these requests in which every answer was true?"""
    try:
        order = order_of(attempts, Owner(), step, fingerprint)
    except Undecided as exc:
        return [Wrong("undecided", f"{exc}, of user {attempts[0].user_id}")]
    if order.explains_all:
        return []
    proof = (*order.operations[-PROOF_MAX:], *order.stuck[:PROOF_MAX])
    sentence = (
        f"no order explains the answers to {attempts[0].user_id}: the last explained, the next"
    )
    return [Wrong("impossible", sentence, proof)]


def _ends(records: Records) -> dict[UUID, list[Attempt]]:
    """The rows of each user, as reads after everything else."""
    sessions: dict[UUID, list[Mapping[str, Any]]] = defaultdict(list)
    events: dict[UUID, list[Mapping[str, Any]]] = defaultdict(list)
    for row in records.sessions:
        sessions[row["user_id"]].append(row)
    for event in records.events:
        events[event["session_id"]].append(event)
    return {
        user_id: [
            _list_read(user_id, rows),
            *(_events_read(row, events[row["id"]]) for row in rows),
        ]
        for user_id, rows in sessions.items()
    }


LAST: dict[str, Any] = {"begun": 1e12, "ended": 1e12 + 1, "status": 200}


def _nothing(user_id: UUID) -> list[Attempt]:
    return [_list_read(user_id, [])]


def _list_read(user_id: UUID, rows: Iterable[Mapping[str, Any]]) -> Attempt:
    newest_first = sorted(rows, key=lambda row: (row["session_date"], row["id"]), reverse=True)
    shown = [
        {
            "id": str(row["id"]),
            "status": row["status"],
            "sessionDate": row["session_date"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "sets": list(row["sets"]),
            "totalReps": sum(reps or 0 for reps in row["sets"]),
            "rpe": row["rpe"],
            "notes": row["notes"],
        }
        for row in newest_first
    ]
    attempt = Attempt(
        "the database at the end", user_id, "list", content=content_of(sessions=shown)
    )
    return replace(attempt, **LAST)


def _events_read(row: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Attempt:
    in_order = sorted(events, key=lambda event: event["session_version"])
    shown = [
        {
            "sessionVersion": event["session_version"],
            "type": event["event_type"],
            "data": event["event_data"],
        }
        for event in in_order
    ]
    attempt = Attempt(
        "the events at the end", row["user_id"], "events", str(row["id"]),
        content=content_of(events=shown),
    )  # fmt: skip
    return replace(attempt, **LAST)
