# SPDX-License-Identifier: MIT
"""Checks that a contender fails sessions as the contract says."""

from uuid import uuid4

from benchmarks.checks.client import Client
from benchmarks.checks.expectations import (
    require,
    require_headers,
    require_presented,
    require_refusal,
    require_replayed,
    require_status,
    require_written_now,
)
from benchmarks.checks.rows import Rows
from benchmarks.fresh import REASON, Fresh, session_id, user_id

TOO_LARGE = 80 * 1024 + 1


def check_failing(client: Client, rows: Rows, fresh: Fresh) -> None:
    """Uses up reserved sessions. Raises DoesNotDoTheJob."""
    first, second, third, fourth, fifth, *_ = fresh.reserved
    _authenticates(client)
    _fails(client, first)
    require_failed_once(rows, first)
    require_refusal(client.fail_number(first), 409, "INVALID_STATUS", currentStatus="failed")
    _refuses_too_early(client, rows, second)
    _refuses_the_rest(client, third)
    _replays(client, rows, third)
    _heeds_if_match(client, rows, fourth)
    _sees_through_policies(client, rows, fifth)


def check_failing_without_database(client: Client, fresh: Fresh) -> None:
    _authenticates(client)
    _fails(client, fresh.reserved[0])


def require_failed_once(rows: Rows, number: int) -> None:
    written = {
        "event_type": "session_failed",
        "event_data": {"reason": REASON},
        "session_version": 2,
        "status": "failed",
        "version": 2,
        "queued": 1,
    }
    seen = rows.history(user_id(number))
    require(seen == [written], "Session, event and outbox are written, once", seen)


def _authenticates(client: Client) -> None:
    client.check_authentication("POST", f"/sessions/{uuid4()}/fail")


def _fails(client: Client, number: int) -> None:
    answer = client.fail_number(number)
    require_status(answer, 200)
    require_presented(answer, session_id(number), version=2, status="failed", rpe=7)
    require_headers(answer, {"Content-Location": f"/sessions/{session_id(number)}"})
    require_written_now(answer)


def _refuses_too_early(client: Client, rows: Rows, number: int) -> None:
    rows.unstart(user_id(number))
    require_refusal(client.fail_number(number), 422, "INVALID_STATUS", currentStatus="planned")


def _refuses_the_rest(client: Client, number: int) -> None:
    user, session = user_id(number), session_id(number)
    require_refusal(client.fail(user, uuid4()), 404, "SESSION_NOT_FOUND")
    require_refusal(client.fail(uuid4(), session), 404, "SESSION_NOT_FOUND")
    require_refusal(client.fail(user, "not-a-uuid"), 400, "VALIDATION_ERROR")
    require_refusal(client.fail(user, session, {"reasn": REASON}), 400, "VALIDATION_ERROR")
    require_refusal(client.fail_number(number, "x" * 501), 400, "VALIDATION_ERROR")
    require_refusal(client.fail_number(number, "a\x07bell"), 422, "INVALID_REASON")
    require_refusal(client.fail_number(number, "x" * TOO_LARGE), 413, "PAYLOAD_TOO_LARGE")


def _replays(client: Client, rows: Rows, number: int) -> None:
    key = str(uuid4())
    answer = client.fail_number(number, idempotency_key=key)
    require_status(answer, 200)
    require_replayed(client.fail_number(number, idempotency_key=key), answer)
    require_failed_once(rows, number)
    other = client.fail_number(number, "I had to catch a train", idempotency_key=key)
    require_refusal(other, 422, "IDEMPOTENCY_KEY_REUSED")


def _heeds_if_match(client: Client, rows: Rows, number: int) -> None:
    for others in ('"2"', 'W/"1"'):
        require_refusal(client.fail_number(number, if_match=others), 412, "PRECONDITION_FAILED")
    require(not rows.history(user_id(number)), "A refused command writes nothing")
    require_status(client.fail_number(number, if_match='"7", "1"'), 200)


def _sees_through_policies(client: Client, rows: Rows, number: int) -> None:
    with rows.hidden_by_policy():
        require_refusal(client.fail_number(number), 404, "SESSION_NOT_FOUND")
    require_status(client.fail_number(number), 200)
