# SPDX-License-Identifier: MIT
"""A transaction for each request: lock, read, write."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from benchmarks.contenders.callers import Caller
from benchmarks.contenders.contract import (
    ONE_EVENT_PER_KEY,
    ONE_IN_PROGRESS,
    active_session_exists,
    normal_text,
    not_found,
    require_match,
    require_same_command,
)
from benchmarks.contenders.paging import Position
from benchmarks.contenders.schemas import PlanSession
from benchmarks.contenders.starlette_asyncpg.changes import Command, Event, total_reps
from benchmarks.contenders.starlette_asyncpg.statements import (
    ACTIVE,
    BECOME_SERVICE,
    CHANGE,
    FIND,
    LIST,
    LIST_AFTER,
    LOCK,
    PLAN,
    REMEMBERED,
)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Answer:
    session: dict[str, Any]
    version: int
    replayed: bool = False


@asynccontextmanager
async def as_service(pool: Pool, caller: Caller) -> AsyncIterator[Connection]:
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchrow(BECOME_SERVICE, str(caller.user_id))
        yield connection


async def plan(pool: Pool, caller: Caller, body: PlanSession) -> Answer:
    asked = caller.fingerprint("plan", body.model_dump(mode="json"))
    now = datetime.now(UTC)
    session = _planned(body, now)
    event = Event("session_planned", {"sessionDate": session["session_date"]})

    async def work(connection: Connection) -> Answer:
        if replay := await _replay(connection, caller, asked):
            return replay
        answer = Answer(presented(session), 1)
        await connection.fetchval(
            PLAN,
            *_recorded(event, caller, asked, answer),
            *(session["session_date"], session["sets"], session["notes"], now),
        )
        return answer

    return await _transaction(pool, caller, work)


def _planned(body: PlanSession, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "status": "planned",
        "session_date": body.session_date or now,
        "started_at": None,
        "ended_at": None,
        "sets": body.sets or [],
        "rpe": None,
        "notes": normal_text(body.notes, "NOTES"),
        "created_at": now,
        "updated_at": now,
    }


async def change(pool: Pool, caller: Caller, session_id: UUID, command: Command) -> Answer:
    asked = caller.fingerprint(command.name, session_id, command.asked)

    async def work(connection: Connection) -> Answer:
        row = await connection.fetchrow(LOCK, caller.user_id, session_id)
        if replay := await _replay(connection, caller, asked):
            return replay
        if row is None:
            raise not_found()
        now = datetime.now(UTC)
        change = command.decide(row, now)
        require_match(caller.if_match, row["version"])
        if change is None:
            return Answer(presented(row), row["version"])
        session = {**row, **change.values, "updated_at": now}
        answer = Answer(presented(session), row["version"] + 1)
        await connection.fetchval(
            CHANGE,
            *_recorded(change.event, caller, asked, answer),
            *(session["status"], now, row["version"]),
            *(session["started_at"], session["ended_at"], session["session_date"]),
            *(session["sets"], session["rpe"], session["notes"]),
        )
        return answer

    return await _transaction(pool, caller, work)


async def find(pool: Pool, caller: Caller, session_id: UUID) -> asyncpg.Record:
    async with as_service(pool, caller) as connection:
        row = await connection.fetchrow(FIND, caller.user_id, session_id)
    if row is None:
        raise not_found()
    return row


async def list_sessions(
    pool: Pool, caller: Caller, limit: int, after: Position | None
) -> tuple[list[asyncpg.Record], Position | None]:
    """A page, and the position of its last session if others follow."""
    statement = LIST if after is None else LIST_AFTER
    async with as_service(pool, caller) as connection:
        rows = await connection.fetch(statement, caller.user_id, limit + 1, *(after or ()))
    page = rows[:limit]
    return page, (page[-1]["session_date"], page[-1]["id"]) if len(rows) > limit else None


async def _transaction(
    pool: Pool, caller: Caller, work: Callable[[Connection], Awaitable[Answer]]
) -> Answer:
    try:
        async with as_service(pool, caller) as connection:
            return await work(connection)
    except asyncpg.UniqueViolationError as exc:
        if exc.constraint_name == ONE_IN_PROGRESS:
            raise active_session_exists(await _active(pool, caller)) from None
        if exc.constraint_name != ONE_EVENT_PER_KEY:
            raise
    async with as_service(pool, caller) as connection:  # the other request has stored the key
        return await work(connection)


async def _active(pool: Pool, caller: Caller) -> UUID | None:
    async with as_service(pool, caller) as connection:
        found: UUID | None = await connection.fetchval(ACTIVE, caller.user_id)
        return found


async def _replay(connection: Connection, caller: Caller, asked: bytes | None) -> Answer | None:
    if caller.idempotency_key is None:
        return None
    row = await connection.fetchrow(REMEMBERED, caller.user_id, caller.idempotency_key)
    if row is None:
        return None
    require_same_command(row["command_fingerprint"], asked)
    snapshot = orjson.loads(row["session_snapshot"])
    return Answer(snapshot["session"], snapshot["version"], replayed=True)


def _recorded(event: Event, caller: Caller, asked: bytes | None, answer: Answer) -> tuple[Any, ...]:
    snapshot = {"session": answer.session, "version": answer.version}
    return (
        caller.user_id,
        answer.session["id"],
        uuid7(),
        event.type,
        _json(event.data),
        caller.request_id,
        caller.idempotency_key,
        asked,
        _json(snapshot) if asked else None,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


def presented(session: dict[str, Any] | asyncpg.Record) -> dict[str, Any]:
    return {
        "id": str(session["id"]),
        "status": session["status"],
        "sessionDate": session["session_date"],
        "startedAt": session["started_at"],
        "endedAt": session["ended_at"],
        "sets": session["sets"],
        "totalReps": total_reps(session["sets"]),
        "rpe": session["rpe"],
        "notes": session["notes"],
        "createdAt": session["created_at"],
        "updatedAt": session["updated_at"],
    }
