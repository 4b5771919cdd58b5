# SPDX-License-Identifier: MIT
"""Checks that a contender returns sessions as the contract says."""

from uuid import uuid4

from benchmarks.checks.client import Client
from benchmarks.checks.expectations import (
    require,
    require_headers,
    require_presented,
    require_refusal,
    require_status,
)
from benchmarks.checks.rows import Rows
from benchmarks.fresh import Fresh, session_id, user_id


def check_reading(client: Client, rows: Rows, fresh: Fresh) -> None:
    """Uses up reserved sessions. Raises DoesNotDoTheJob."""
    number, *_ = fresh.reserved
    user, session = user_id(number), session_id(number)
    _reads(client, number)
    _spares_what_is_known(client, number)
    require_refusal(client.get(user, uuid4()), 404, "SESSION_NOT_FOUND")
    require_refusal(client.get(uuid4(), session), 404, "SESSION_NOT_FOUND")
    require_refusal(client.get(user, "not-a-uuid"), 400, "VALIDATION_ERROR")
    with rows.hidden_by_policy():
        require_refusal(client.get(user, session), 404, "SESSION_NOT_FOUND")
    _reads_what_was_written(client, number)


def check_reading_without_database(client: Client, fresh: Fresh) -> None:
    _reads(client, fresh.reserved[0])


def _reads(client: Client, number: int) -> None:
    user, session = user_id(number), session_id(number)
    client.check_authentication("GET", f"/sessions/{session}")
    answer = client.get(user, session)
    require_status(answer, 200)
    require_presented(answer, session, version=1, status="in_progress", rpe=7)


def _spares_what_is_known(client: Client, number: int) -> None:
    user, session = user_id(number), session_id(number)
    unchanged = client.get(user, session, if_none_match='W/"1"')
    require_status(unchanged, 304)
    require_headers(unchanged, {"ETag": '"1"'})
    require_status(client.get(user, session, if_none_match='"2"'), 200)


def _reads_what_was_written(client: Client, number: int) -> None:
    written = client.fail_number(number)
    read = client.get(user_id(number), session_id(number))
    require(read.json() == written.json(), "It reads what was answered", read.text)
    require_headers(read, {"ETag": written.headers["ETag"]})
