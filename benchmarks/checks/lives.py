# SPDX-License-Identifier: MIT
"""Checks that a contender plans, starts and fails sessions as the contract says."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx2

from benchmarks.checks.client import Client
from benchmarks.checks.expectations import (
    require,
    require_headers,
    require_presented,
    require_refusal,
    require_replayed,
    require_status,
)
from benchmarks.checks.rows import Rows
from benchmarks.fresh import PLANNED, REASON, Fresh

AT_ONCE = 10
TOO_LARGE = 80 * 1024 + 1


def check_lives(client: Client, rows: Rows, _fresh: Fresh) -> None:
    """Raises DoesNotDoTheJob. Its users have only the sessions that they plan."""
    client.check_authentication("POST", "/sessions")
    _lives(client, rows, uuid4())
    _refuses_what_is_no_plan(client, uuid4())
    _replays(client, rows, uuid4())
    _has_one_in_progress(client, rows, uuid4())
    _sees_through_policies(client, rows, uuid4())


def _lives(client: Client, rows: Rows, user: UUID) -> None:
    planned = client.post(user, "/sessions", PLANNED)
    require_status(planned, 201)
    session = _id_of(planned)
    require_presented(planned, session, version=1, status="planned", rpe=None)
    require_refusal(client.fail(user, session), 422, "INVALID_STATUS", currentStatus="planned")
    _starts(client, user, session)
    failed = client.fail(user, session, {"reason": REASON})
    require_status(failed, 200)
    require_presented(failed, session, version=3, status="failed", rpe=None)
    _require_history(rows, user)


def _starts(client: Client, user: UUID, session: str) -> None:
    require_refusal(_start(client, user, str(uuid4())), 404, "SESSION_NOT_FOUND")
    require_refusal(_start(client, uuid4(), session), 404, "SESSION_NOT_FOUND")
    other = _start(client, user, session, if_match='"2"')
    require_refusal(other, 412, "PRECONDITION_FAILED")
    started = _start(client, user, session)
    require_status(started, 200)
    require_presented(started, session, version=2, status="in_progress", rpe=None)
    require_headers(started, {"Content-Location": f"/sessions/{session}"})
    again = _start(client, user, session)
    require_refusal(again, 409, "INVALID_STATUS", currentStatus="in_progress")


def _require_history(rows: Rows, user: UUID) -> None:
    events: tuple[tuple[str, dict[str, Any]], ...] = (
        ("session_planned", {"sessionDate": PLANNED["sessionDate"]}),
        ("session_started", {}),
        ("session_failed", {"reason": REASON}),
    )
    written = [
        {
            "event_type": kind,
            "event_data": data,
            "session_version": version,
            "status": "failed",
            "version": 3,
            "queued": 1,
        }
        for version, (kind, data) in enumerate(events, start=1)
    ]
    seen = rows.history(user)
    require(seen == written, "Each step has its event and its outbox row", seen)


def _refuses_what_is_no_plan(client: Client, user: UUID) -> None:
    wrong: list[dict[str, Any]] = [
        {"note": "knee felt fine"},
        {"sets": [0]},
        {"sets": [12] * 21},
        {"sessionDate": "tomorrow"},
    ]
    for body in wrong:
        require_refusal(client.post(user, "/sessions", body), 400, "VALIDATION_ERROR")
    large = client.post(user, "/sessions", {"notes": "x" * TOO_LARGE})
    require_refusal(large, 413, "PAYLOAD_TOO_LARGE")


def _replays(client: Client, rows: Rows, user: UUID) -> None:
    key = str(uuid4())
    planned = client.post(user, "/sessions", PLANNED, idempotency_key=key)
    require_status(planned, 201)
    again = client.post(user, "/sessions", PLANNED, idempotency_key=key)
    require_replayed(again, planned)
    require_headers(again, {"Location": planned.headers["Location"]})
    require(len(rows.history(user)) == 1, "A replay writes nothing")
    other = client.post(user, "/sessions", idempotency_key=key)
    require_refusal(other, 422, "IDEMPOTENCY_KEY_REUSED")
    start = _start(client, user, _id_of(planned), idempotency_key=key)
    require_refusal(start, 422, "IDEMPOTENCY_KEY_REUSED")


def _has_one_in_progress(client: Client, rows: Rows, user: UUID) -> None:
    sessions = [_id_of(client.post(user, "/sessions", PLANNED)) for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(lambda each: _start(client, user, each), sessions))
    statuses = sorted(answer.status_code for answer in answers)
    require(statuses == [200] + [409] * (AT_ONCE - 1), "Of starts at once one wins", statuses)
    [active] = [_id_of(each) for each in answers if each.status_code == httpx2.codes.OK]
    for answer in answers:
        if answer.status_code != httpx2.codes.OK:
            require_refusal(answer, 409, "ACTIVE_SESSION_EXISTS", activeSessionId=active)
    started = [row for row in rows.history(user) if row["event_type"] == "session_started"]
    require(len(started) == 1, "Only what was started has the event", started)


def _sees_through_policies(client: Client, rows: Rows, user: UUID) -> None:
    session = _id_of(client.post(user, "/sessions", PLANNED))
    with rows.hidden_by_policy():
        require_refusal(_start(client, user, session), 404, "SESSION_NOT_FOUND")
    require_status(_start(client, user, session), 200)


def _start(client: Client, user: UUID, session: str, **headers: str) -> httpx2.Response:
    return client.post(user, f"/sessions/{session}/start", None, **headers)


def _id_of(answer: httpx2.Response) -> str:
    session: str = answer.json()["data"]["session"]["id"]
    if answer.status_code == httpx2.codes.CREATED:
        require_headers(answer, {"Location": f"/sessions/{session}"})
    return session
