"""Whether a contender does the job; before that, how fast it is means nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import httpx2

from benchmarks import load
from benchmarks.cluster import Cluster
from benchmarks.fresh import REASON, Fresh, session_id, token, user_id
from benchmarks.issuer import Issuer, issuing

EVENT = """
    SELECT event_type, event_data ->> 'reason' AS reason, session_version, sessions.status,
        sessions.version, count(outbox) OVER () AS queued
    FROM events
        JOIN sessions ON (sessions.user_id, sessions.id) = (events.user_id, session_id)
        LEFT JOIN outbox ON (outbox.user_id, event_id) = (events.user_id, events.id)
    WHERE events.user_id = $1
"""
POLICY = "service_acts_for_users"
POLICY_TEXT = "SELECT qual FROM pg_policies WHERE tablename = 'sessions' AND policyname = $1"
SET_STATUS = "UPDATE sessions SET status = '{status}' WHERE user_id = '{user}'"


class DoesNotDoTheJob(Exception):
    pass


def _require(truth: object, expectation: str, seen: object = "") -> None:
    if not truth:
        raise DoesNotDoTheJob(f"{expectation}: not so. {seen}")


class HttpCheck:
    """Uses up the reserved sessions of a database."""

    def __init__(self, url: str, issuer: Issuer, fresh: Fresh) -> None:
        self._client = httpx2.Client(base_url=url, timeout=30)
        self._issuer = issuer
        self._reserved = iter(range(fresh.count, fresh.count + 5))

    def run(self, cluster: Cluster, database: str) -> None:
        with self._client:
            self._authenticates()
            number = self._fails_a_session()
            _require_written(cluster, database, number)
            self._refuses_a_repetition(number)
            self._refuses_the_rest(cluster, database)
            self._sees_through_policies(cluster, database)

    def run_without_database(self) -> None:
        with self._client:
            self._authenticates()
            self._fails_a_session()

    def _authenticates(self) -> None:
        with issuing(self._issuer.algorithm) as stranger:
            foreign = token(stranger, uuid4(), int(time.time()))
        for headers in ({}, {"Authorization": f"Bearer {foreign}"}):
            answer = self._client.post(f"/sessions/{uuid4()}/fail", headers=headers)
            _expect(answer, 401, "UNAUTHENTICATED")
            _require("WWW-Authenticate" in answer.headers, "A 401 says how to authenticate")

    def _fails_a_session(self) -> int:
        number = next(self._reserved)
        answer = self._fail(number)
        _require(answer.status_code == HTTPStatus.OK, "A session in progress fails", answer.text)
        _require_presented(answer, session_id(number))
        return number

    def _refuses_a_repetition(self, number: int) -> None:
        answer = self._fail(number)
        _expect(answer, 409, "INVALID_STATUS", currentStatus="failed")

    def _refuses_the_rest(self, cluster: Cluster, database: str) -> None:
        mine, planned = next(self._reserved), next(self._reserved)
        cluster.execute(database, SET_STATUS.format(status="planned", user=user_id(planned)))
        _expect(self._fail(planned), 422, "INVALID_STATUS", currentStatus="planned")
        _expect(self._post(user_id(mine), uuid4()), 404, "SESSION_NOT_FOUND")
        _expect(self._post(uuid4(), session_id(mine)), 404, "SESSION_NOT_FOUND")
        _expect(self._post(user_id(mine), "not-a-uuid"), 400, "VALIDATION_ERROR")
        typo = self._post(user_id(mine), session_id(mine), {"reasn": REASON})
        _expect(typo, 400, "VALIDATION_ERROR")

    def _sees_through_policies(self, cluster: Cluster, database: str) -> None:
        number = next(self._reserved)
        with _policy_that_hides_everything(cluster, database):
            _expect(self._fail(number), 404, "SESSION_NOT_FOUND")
        _require(
            self._fail(number).status_code == HTTPStatus.OK, "With the policy back it is found"
        )

    def _fail(self, number: int) -> httpx2.Response:
        return self._post(user_id(number), session_id(number), {"reason": REASON})

    def _post(
        self, user: UUID, session: UUID | str, body: dict[str, Any] | None = None
    ) -> httpx2.Response:
        bearer = token(self._issuer, user, int(time.time()))
        return self._client.post(
            f"/sessions/{session}/fail",
            headers={"Authorization": f"Bearer {bearer}"},
            json=body or {},
        )


def check_pgbench(cluster: Cluster, database: str, fresh: Fresh) -> None:
    first, second = fresh.count, fresh.count + 1
    load.by_pgbench(cluster, database, first, clients=1)
    _require_written(cluster, database, first)
    load.by_pgbench(cluster, database, first, clients=1)
    _require_written(cluster, database, first)
    with _policy_that_hides_everything(cluster, database):
        try:
            load.by_pgbench(cluster, database, second, clients=1)
        except load.LoadFailed:
            return
    raise DoesNotDoTheJob("It sees what the policy hides.")


def _expect(answer: httpx2.Response, status: int, code: str, **details: str) -> None:
    error = answer.json().get("error", {})
    _require(
        answer.status_code == status and error.get("code") == code,
        f"It answers {status} {code}",
        f"{answer.status_code} {answer.text}",
    )
    _require(error["details"].items() >= details.items(), f"The details are {details}", error)
    _require("requestId" in error["details"], "The details have the request's id", error)


def _require_presented(answer: httpx2.Response, session: UUID) -> None:
    content = answer.json()
    dto = content["data"]["session"]
    updated_at = datetime.fromisoformat(dto.pop("updatedAt"))
    created_at = datetime.fromisoformat(dto.pop("createdAt"))
    session_date = datetime.fromisoformat(dto.pop("sessionDate"))
    _require(content["meta"] == {}, "`meta` is empty", content)
    _require(
        dto
        == {
            "id": str(session),
            "status": "failed",
            "sets": [12, 10, None],
            "totalReps": 22,
            "rpe": 7,
            "notes": "knee felt fine",
        },
        "The session is presented as the contract says",
        dto,
    )
    _require(datetime.now(UTC) - updated_at < timedelta(minutes=1), "It was updated now", content)
    _require(created_at <= updated_at and session_date <= updated_at, "Times are in order", content)
    headers = {
        "ETag": '"2"',
        "Content-Location": f"/sessions/{session}",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    for name, value in headers.items():
        _require(answer.headers.get(name) == value, f"{name} is {value}", answer.headers)
    _require("X-Request-Id" in answer.headers, "The answer has a request id", answer.headers)


def _require_written(cluster: Cluster, database: str, number: int) -> None:
    rows = [dict(row) for row in cluster.fetch(database, EVENT, user_id(number))]
    expected = {
        "event_type": "session_failed",
        "reason": REASON,
        "session_version": 2,
        "status": "failed",
        "version": 2,
        "queued": 1,
    }
    _require(rows == [expected], "Session, event and outbox are written, once", rows)


@contextmanager
def _policy_that_hides_everything(cluster: Cluster, database: str) -> Iterator[None]:
    """Who still finds a session is not under row-level security."""
    qual = cluster.value(database, POLICY_TEXT, POLICY)
    change = f"ALTER POLICY {POLICY} ON sessions USING"
    cluster.execute(database, f"{change} (false)")
    try:
        yield
    finally:
        cluster.execute(database, f"{change} ({qual})")
