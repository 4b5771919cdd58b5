# SPDX-License-Identifier: MIT
"""Keeps events in an inbox, and applies those of a session in the order of their versions.

One transaction stores an event, its effect, and the version that its session has reached. So an
event has its effect once, however often it is delivered, and never before an earlier one.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import asyncpg
from nats.aio.msg import Msg

from subscription import RejectedError

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

OUTAGES = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""Errors of the database itself, which say nothing about an event."""

FAILURES = (asyncpg.PostgresError, ValueError, TypeError, LookupError)
"""Errors of an effect, unless they are outages."""

TABLES = """
    CREATE TABLE IF NOT EXISTS inbox (
        event_id uuid PRIMARY KEY,
        user_id uuid NOT NULL,
        session_id uuid NOT NULL,
        session_version integer NOT NULL,
        kind text NOT NULL,
        data jsonb NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        applied_at timestamptz,
        error text,
        UNIQUE (user_id, session_id, session_version)
    );
    CREATE TABLE IF NOT EXISTS progress (
        user_id uuid NOT NULL,
        session_id uuid NOT NULL,
        session_version integer NOT NULL,
        PRIMARY KEY (user_id, session_id)
    );
"""
_LOCK = """
    INSERT INTO progress VALUES ($1, $2, 0)
    ON CONFLICT (user_id, session_id) DO UPDATE SET session_version = progress.session_version
    RETURNING session_version
"""
_ALREADY_THERE = """
    SELECT event_id, session_version FROM inbox
    WHERE event_id = $1 OR (user_id, session_id, session_version) = ($2, $3, $4)
"""
_STORE = """
    INSERT INTO inbox (event_id, user_id, session_id, session_version, kind, data, error)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_NEXT = """
    SELECT event_id, user_id, session_id, session_version, kind, data FROM inbox
    WHERE (user_id, session_id, session_version) = ($1, $2, $3) AND error IS NULL
"""
_APPLIED = "UPDATE inbox SET applied_at = now() WHERE event_id = $1"
_ADVANCE = "UPDATE progress SET session_version = $3 WHERE (user_id, session_id) = ($1, $2)"
_GIVE_UP = "UPDATE inbox SET error = $2 WHERE event_id = $1"
_FORGET_ERRORS = """
    UPDATE inbox SET error = NULL WHERE error IS NOT NULL RETURNING user_id, session_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    event_id: UUID
    user_id: UUID
    session_id: UUID
    session_version: int
    kind: str
    data: dict[str, Any]

    @classmethod
    def parse(cls, message: Msg) -> Self:
        """Raises RejectedError if the message is not an event."""
        headers = message.headers or {}
        try:
            data = json.loads(message.data)
            return cls(
                event_id=UUID(headers["ce-id"]),
                user_id=UUID(data.pop("userId")),
                session_id=UUID(data.pop("sessionId")),
                session_version=int(data.pop("sessionVersion")),
                kind=headers["ce-type"].rpartition(".")[2],
                data=data,
            )
        except (ValueError, TypeError, LookupError, AttributeError) as exc:
            raise RejectedError(f"it is not an event ({exc!r})") from None


Apply = Callable[[Connection, Event], Awaitable[None]]
"""The effect of an event, in the transaction of the inbox."""


async def receive(connection: Connection, event: Event, apply: Apply, *, is_last_try: bool) -> str:
    """Stores the event, and applies what is next in its session; returns what it did.

    Runs in a transaction of the caller. An error of `apply` is raised, and must roll it back; in
    the last try it is stored with its event instead, and later events of the session wait.
    Raises RejectedError.
    """
    session = event.user_id, event.session_id
    reached = await connection.fetchval(_LOCK, *session)  # other processes wait here
    if await _is_there(connection, event, reached):
        return "received before"
    await _store(connection, event)
    now_at = await _apply_waiting(connection, session, reached, apply, is_last_try=is_last_try)
    if now_at + 1 == event.session_version:
        return "failed, and is set aside"
    if now_at < event.session_version:
        return f"waits for version {now_at + 1}"
    later = now_at - event.session_version
    return f"applied, and {later} that waited for it" if later else "applied"


async def set_aside(connection: Connection, event: Event, error: str) -> None:
    """Stores an event that must not be tried again. Runs in a transaction of the caller."""
    reached = await connection.fetchval(_LOCK, event.user_id, event.session_id)
    if not await _is_there(connection, event, reached):
        await _store(connection, event, error)


async def retry(pool: asyncpg.Pool, apply: Apply) -> None:
    """Applies events that failed, and those that wait for them."""
    async with pool.acquire() as connection:
        failed = {tuple(row) for row in await connection.fetch(_FORGET_ERRORS)}
        for session in failed:
            async with connection.transaction():
                reached = await connection.fetchval(_LOCK, *session)
                await _apply_waiting(connection, session, reached, apply, is_last_try=True)


async def _is_there(connection: Connection, event: Event, reached: int) -> bool:
    """Raises RejectedError if another event has its place: the service's database was restored."""
    place = event.user_id, event.session_id, event.session_version
    found = await connection.fetchrow(_ALREADY_THERE, event.event_id, *place)
    if found is None:
        return event.session_version <= reached  # an old row of the inbox was deleted
    if tuple(found) == (event.event_id, event.session_version):
        return True
    raise RejectedError(f"event {found['event_id']} has its id or its version")


async def _store(connection: Connection, event: Event, error: str | None = None) -> None:
    await connection.execute(
        _STORE,
        event.event_id,
        event.user_id,
        event.session_id,
        event.session_version,
        event.kind,
        json.dumps(event.data),
        error,
    )


async def _apply_waiting(
    connection: Connection, session: Any, reached: int, apply: Apply, *, is_last_try: bool
) -> int:
    """Applies events until one is missing or fails; returns the version that was reached."""
    while row := await connection.fetchrow(_NEXT, *session, reached + 1):
        event = Event(**{**row, "data": json.loads(row["data"])})
        try:
            async with connection.transaction():  # a savepoint
                await apply(connection, event)
                await connection.execute(_APPLIED, event.event_id)
        except FAILURES as exc:
            if not is_last_try or isinstance(exc, OUTAGES):
                raise
            await connection.execute(_GIVE_UP, event.event_id, repr(exc))
            break
        reached += 1
        await connection.execute(_ADVANCE, *session, reached)
    return reached
