"""Events and their places in the queue, as the service would have written them."""

from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from service.domain.session import Session
from tests.running import TestDatabase

INSERT = """
    WITH event AS (
        INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
            occurred_at, request_id)
        VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), 'phone-7')
    )
    INSERT INTO outbox (user_id, event_id) VALUES ($1, $2)
"""


async def an_event(
    database: TestDatabase,
    session: Session,
    version: int,
    *,
    type: str = "session_failed",  # noqa: A002  its name everywhere
    data: dict[str, Any] | None = None,
) -> UUID:
    event_id: UUID = uuid7()
    data = {"reason": "shoulder pain"} if data is None else data
    given = (session.user_id, event_id, session.id, version, type, data)
    await database.execute(INSERT, *given)
    return event_id
