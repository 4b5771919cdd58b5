"""Starlette and asyncpg by hand, a transaction per request: the best of the habitual way."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uuid_utils.compat import uuid7

from benchmarks.contenders.contract import (
    TIMEOUTS,
    Configuration,
    Refused,
    ResponseHeaders,
    Tokens,
    event_data,
    normal_reason,
    not_found,
    require_in_progress,
)

BECOME_SERVICE = """
    SELECT set_config('role', 'session_service', true),
        set_config('service.acting_users', $1, true)
"""

LOCK = """
    SELECT status, session_date, sets, rpe, notes, version, created_at FROM sessions
    WHERE user_id = $1 AND id = $2
    FOR NO KEY UPDATE
"""

WRITE = """
    WITH updated AS (
        UPDATE sessions SET status = 'failed', version = version + 1, updated_at = $4
        WHERE user_id = $1 AND id = $2 AND version = $3
        RETURNING user_id, id, version
    ), inserted AS (
        INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
            occurred_at, request_id)
        SELECT user_id, $5, id, version, 'session_failed', $6, $4, $7 FROM updated
        RETURNING user_id, id
    ), queued AS (
        INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM inserted
    )
    SELECT version FROM updated
"""

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


async def fail_session(request: Request[Any]) -> Response:
    tokens: Tokens = request.state["tokens"]
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    user_id = tokens.user_id(token if scheme.lower() == "bearer" else None)
    session_id = _session_id(request.path_params["session_id"])
    reason = _reason(await request.body())
    now = datetime.now(UTC)
    pool: asyncpg.Pool[asyncpg.Record] = request.state["pool"]
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchrow(BECOME_SERVICE, str(user_id))
        row = await connection.fetchrow(LOCK, user_id, session_id)
        if row is None:
            raise not_found()
        require_in_progress(session_id, row["status"])
        version = await connection.fetchval(
            WRITE,
            user_id,
            session_id,
            row["version"],
            now,
            uuid7(),
            event_data(reason),
            request.state["request_id"],
        )
    return Response(
        _answer(session_id, row, now),
        media_type="application/json",
        headers={"ETag": f'"{version}"', "Content-Location": f"/sessions/{session_id}"},
    )


def _session_id(given: str) -> UUID:
    if not _CANONICAL_UUID.fullmatch(given):
        raise Refused("VALIDATION_ERROR", "The session's id has to be a UUID.")
    return UUID(given)


def _reason(body: bytes) -> str | None:
    try:
        given = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        raise Refused("VALIDATION_ERROR", "The body has to be JSON.") from None
    if not isinstance(given, dict) or given.keys() - {"reason"}:
        raise Refused("VALIDATION_ERROR", "The body has to be an object with a reason.")
    reason = given.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise Refused("VALIDATION_ERROR", "The reason has to be a string or null.")
    return normal_reason(reason)


def _answer(session_id: UUID, row: asyncpg.Record, updated_at: datetime) -> bytes:
    session = {
        "id": str(session_id),
        "status": "failed",
        "sessionDate": row["session_date"],
        "sets": row["sets"],
        "totalReps": sum(repetitions or 0 for repetitions in row["sets"]),
        "rpe": row["rpe"],
        "notes": row["notes"],
        "createdAt": row["created_at"],
        "updatedAt": updated_at,
    }
    return orjson.dumps({"data": {"session": session}, "meta": {}}, option=orjson.OPT_UTC_Z)


async def on_refused(request: Request[Any], exc: Exception) -> Response:
    assert isinstance(exc, Refused)  # noqa: S101  it is registered for no other
    return Response(
        orjson.dumps(exc.body(request.state["request_id"])),
        exc.status,
        exc.headers(),
        "application/json",
    )


async def _keep_as_it_is(_connection: object) -> None:
    """Every setting ends with its transaction, so the pool's reset query has nothing to do."""


def create_app() -> Starlette:
    configuration = Configuration.from_environment()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with asyncpg.create_pool(
            configuration.database_url,
            min_size=configuration.pool_size,
            max_size=configuration.pool_size,
            server_settings=TIMEOUTS,
            reset=_keep_as_it_is,
        ) as pool:
            yield {"pool": pool, "tokens": Tokens(configuration)}

    return Starlette(
        routes=[Route("/sessions/{session_id}/fail", fail_session, methods=["POST"])],
        middleware=[Middleware(ResponseHeaders)],
        exception_handlers={Refused: on_refused},
        lifespan=lifespan,
    )
