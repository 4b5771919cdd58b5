# SPDX-License-Identifier: MIT
"""Checks the calls of an app as the contract says: list, update and complete, beside the others."""

from collections.abc import Callable
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
from benchmarks.checks.lives import check_lives
from benchmarks.checks.rows import Rows
from benchmarks.fresh import PLANNED, Fresh

SETS = {"sets": [12, 11, 9], "totalReps": 32}
DATE = {"sessionDate": PLANNED["sessionDate"]}
PAGE = 2

Check = Callable[[Client, Rows, UUID], None]


def check_training(client: Client, rows: Rows, fresh: Fresh) -> None:
    """Raises DoesNotDoTheJob. Its users have only the sessions that they plan."""
    check_lives(client, rows, fresh)
    client.check_authentication("GET", "/sessions")
    checks: tuple[Check, ...] = (
        _updates, _clears, _changes_nothing, _refuses_wrong_updates, _replays_an_update,
        _completes, _refuses_wrong_completions, _replays_a_completion, _lists,
        _sees_through_policies,
    )  # fmt: skip
    for check in checks:
        check(client, rows, uuid4())


def planned(client: Client, user: UUID, **values: Any) -> str:
    answer = client.post(user, "/sessions", PLANNED | values)
    require_status(answer, 201)
    session: str = answer.json()["data"]["session"]["id"]
    return session


def started(client: Client, user: UUID, **values: Any) -> str:
    session = planned(client, user, **values)
    require_status(client.post(user, f"/sessions/{session}/start"), 200)
    return session


def _events(rows: Rows, user: UUID) -> list[tuple[str, int, Any, int]]:
    return [
        (row["event_type"], row["session_version"], row["event_data"], row["queued"])
        for row in rows.history(user)
    ]


def _updates(client: Client, rows: Rows, user: UUID) -> None:
    session = started(client, user)
    answer = client.patch(user, session, {"sets": [12, 11, 9], "rpe": 8}, if_match='"2"')
    require_presented(answer, session, version=3, status="in_progress", rpe=8, **SETS)
    require_headers(answer, {"Content-Location": f"/sessions/{session}"})
    read = client.get(user, session)
    require(read.json() == answer.json(), "It reads what was answered", read.text)
    data = SETS | DATE | {"rpe": 8, "notes": PLANNED["notes"]}
    seen = _events(rows, user)[-1]
    require(seen == ("session_updated", 3, data, 1), "An update has its event", seen)


def _clears(client: Client, _rows: Rows, user: UUID) -> None:
    session = planned(client, user)
    moved = client.patch(user, session, {"notes": None, "sessionDate": "2026-12-01T09:00:00Z"})
    require_presented(moved, session, version=2, status="planned", rpe=None, notes=None)
    require(moved.json()["data"]["session"]["sessionDate"][:10] == "2026-12-01", "It is moved")


def _changes_nothing(client: Client, rows: Rows, user: UUID) -> None:
    session = planned(client, user)
    answer = client.patch(user, session, {"notes": PLANNED["notes"], "rpe": None})
    require_presented(answer, session, version=1, status="planned", rpe=None)
    require(len(_events(rows, user)) == 1, "What changes nothing has no event")


def _refuses_wrong_updates(client: Client, rows: Rows, user: UUID) -> None:
    session = started(client, user)
    wrong: tuple[dict[str, Any], ...] = (
        {}, {"sets": None}, {"sessionDate": None}, {"rpe": 11}, {"status": "failed"},
    )  # fmt: skip
    for body in wrong:
        require_refusal(client.patch(user, session, body), 400, "VALIDATION_ERROR")
    change = {"rpe": 8}
    require_refusal(client.patch(user, uuid4(), change), 404, "SESSION_NOT_FOUND")
    require_refusal(client.patch(uuid4(), session, change), 404, "SESSION_NOT_FOUND")
    other = client.patch(user, session, change, if_match='"1"')
    require_refusal(other, 412, "PRECONDITION_FAILED")
    moved = client.patch(user, session, {"sessionDate": "2026-12-01T09:00:00Z"})
    require_refusal(moved, 409, "INVALID_STATUS", requiredStatus="planned")
    require_status(client.fail(user, session), 200)
    late = client.patch(user, session, change)
    require_refusal(late, 409, "INVALID_STATUS", requiredStatus="in_progress")
    require(len(_events(rows, user)) == 3, "A refused update writes nothing")  # noqa: PLR2004  plan, start, fail


def _replays_an_update(client: Client, rows: Rows, user: UUID) -> None:
    session, key = started(client, user), str(uuid4())
    answer = client.patch(user, session, {"rpe": 8}, idempotency_key=key)
    require_status(answer, 200)
    require_replayed(client.patch(user, session, {"rpe": 8}, idempotency_key=key), answer)
    other = client.patch(user, session, {"rpe": 9}, idempotency_key=key)
    require_refusal(other, 422, "IDEMPOTENCY_KEY_REUSED")
    require(len(_events(rows, user)) == 3, "A replay writes nothing")  # noqa: PLR2004  plan, start, update


def _completes(client: Client, rows: Rows, user: UUID) -> None:
    session = started(client, user)
    answer = _complete(client, user, session, {"sets": [12, 11, 9], "rpe": 8})
    require_presented(answer, session, version=3, status="completed", rpe=8, **SETS)
    seen = _events(rows, user)[-1]
    require(seen == ("session_completed", 3, SETS | {"rpe": 8}, 1), "It has its event", seen)
    again = _complete(client, user, session)
    require_refusal(again, 409, "INVALID_STATUS", currentStatus="completed")


def _refuses_wrong_completions(client: Client, rows: Rows, user: UUID) -> None:
    early = planned(client, user)
    require_refusal(_complete(client, user, early), 422, "INVALID_STATUS", currentStatus="planned")
    empty = started(client, user, sets=[None])
    require_refusal(_complete(client, user, empty), 422, "NO_REPETITIONS")
    require_refusal(_complete(client, user, empty, {"sets": [0]}), 400, "VALIDATION_ERROR")
    other = _complete(client, user, empty, {"sets": [5]}, if_match='"1"')
    require_refusal(other, 412, "PRECONDITION_FAILED")
    require_refusal(_complete(client, user, str(uuid4())), 404, "SESSION_NOT_FOUND")
    require(len(_events(rows, user)) == 3, "A refused completion writes nothing")  # noqa: PLR2004  two plans, a start


def _replays_a_completion(client: Client, _rows: Rows, user: UUID) -> None:
    session, key = started(client, user), str(uuid4())
    answer = _complete(client, user, session, idempotency_key=key)
    require_presented(answer, session, version=3, status="completed", rpe=None)
    require_replayed(_complete(client, user, session, idempotency_key=key), answer)


def _lists(client: Client, _rows: Rows, user: UUID) -> None:
    require(_page(client, user) == ([], {}), "A new user has no sessions")
    dates = ("2026-11-22T09:00:00Z", "2026-11-24T09:00:00Z", "2026-11-23T09:00:00Z")
    oldest, newest, middle = (planned(client, user, sessionDate=each) for each in dates)
    first, meta = _page(client, user, limit=f"{PAGE}")
    require(first == [newest, middle], "The newest sessions come first", first)
    second = _page(client, user, limit=f"{PAGE}", cursor=meta["nextCursor"])
    require(second == ([oldest], {}), "The next page follows, and is the last", second)
    require_refusal(client.list(user, limit="0"), 400, "VALIDATION_ERROR")
    require_refusal(client.list(user, cursor="nothing"), 400, "VALIDATION_ERROR")


def _page(client: Client, user: UUID, **query: str) -> tuple[list[str], dict[str, str]]:
    answer = client.list(user, **query)
    require_status(answer, 200)
    content = answer.json()
    return [each["id"] for each in content["data"]["sessions"]], content["meta"]


def _sees_through_policies(client: Client, rows: Rows, user: UUID) -> None:
    session = started(client, user)
    with rows.hidden_by_policy():
        require(_page(client, user) == ([], {}), "It lists nothing that a policy hides")
        require_refusal(client.patch(user, session, {"rpe": 8}), 404, "SESSION_NOT_FOUND")
        require_refusal(_complete(client, user, session), 404, "SESSION_NOT_FOUND")
    require_status(_complete(client, user, session), 200)


def _complete(
    client: Client, user: UUID, session: str, body: dict[str, Any] | None = None, **headers: str
) -> httpx2.Response:
    return client.post(user, f"/sessions/{session}/complete", body, **headers)
