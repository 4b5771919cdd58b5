# SPDX-License-Identifier: MIT
"""Inserts events and their outbox rows, as the service does."""

import json
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from service.domain.session import Session
from tests.leaks import never_log_body
from tests.running import TestDatabase

INSERT = """
    WITH event AS (
        INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
            occurred_at, request_id)
        VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), 'phone-7')
    )
    INSERT INTO outbox (user_id, event_id) VALUES ($1, $2)
"""

MANY = """
    WITH made AS (
        INSERT INTO sessions (user_id, id, status, session_date, started_at, ended_at, sets,
            version, created_at, updated_at)
        SELECT gen_random_uuid(), gen_random_uuid(), 'failed', now(), now(), now(), '{12}',
            $2, now(), now()
        FROM generate_series(1, $1)
        RETURNING user_id, id
    ), event AS (
        INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
            occurred_at, request_id)
        SELECT user_id, gen_random_uuid(), id, version, 'session_updated',
            '{"notes": "shoulder pain"}', clock_timestamp(), 'phone-7'
        FROM made, generate_series(1, $2) AS version
        RETURNING user_id, id, session_version
    ), place AS (
        INSERT INTO outbox (user_id, event_id)
        SELECT user_id, id FROM event ORDER BY session_version
    )
    SELECT id FROM event
"""


async def many_events(database: TestDatabase, *, sessions: int, each: int = 1) -> list[UUID]:
    """Inserts `each` events of one kind for each of `sessions` new sessions, in one transaction."""
    return [row["id"] for row in await database.fetch(MANY, sessions, each)]


async def an_event(
    database: TestDatabase,
    session: Session,
    version: int,
    *,
    type: str = "session_failed",  # noqa: A002  its name everywhere
    data: dict[str, Any] | None = None,
    event_id: UUID | None = None,
) -> UUID:
    event_id = event_id or uuid7()
    data = {"reason": "shoulder pain"} if data is None else data
    never_log_body(json.dumps(data).encode())
    given = (session.user_id, event_id, session.id, version, type, data)
    await database.execute(INSERT, *given)
    return event_id
