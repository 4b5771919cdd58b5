# SPDX-License-Identifier: MIT
"""Starlette and asyncpg by hand, a transaction per request: conventional and fast."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import asyncpg
import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.contenders.callers import Caller, Tokens
from benchmarks.contenders.configuration import TIMEOUTS, Configuration
from benchmarks.contenders.contract import (
    Refused,
    etag,
    is_named_by,
    normal_text,
    not_found,
)
from benchmarks.contenders.middleware import RequestMiddleware
from benchmarks.contenders.schemas import FailSession, PlanSession
from benchmarks.contenders.starlette_asyncpg.requests import body_of, session_id_of
from benchmarks.contenders.starlette_asyncpg.statements import FIND
from benchmarks.contenders.starlette_asyncpg.transactions import (
    Answer,
    Event,
    Transition,
    as_service,
    change,
    plan,
    presented,
)


async def plan_session(request: Request[Any]) -> Response:
    caller = _caller(request)
    body = await body_of(request, PlanSession)
    answer = await plan(request.state["pool"], caller, body)
    return _written(answer, "Location", HTTPStatus.CREATED)


async def start_session(request: Request[Any]) -> Response:
    caller, session_id = _caller(request), session_id_of(request)
    transition = Transition("planned", "in_progress", "started_at", Event("session_started", {}))
    return _written(await change(request.state["pool"], caller, session_id, transition))


async def fail_session(request: Request[Any]) -> Response:
    caller, session_id = _caller(request), session_id_of(request)
    body = await body_of(request, FailSession)
    event = Event("session_failed", {"reason": normal_text(body.reason, "REASON")})
    transition = Transition("in_progress", "failed", "ended_at", event)
    return _written(await change(request.state["pool"], caller, session_id, transition))


async def get_session(request: Request[Any]) -> Response:
    caller, session_id = _caller(request), session_id_of(request)
    async with as_service(request.state["pool"], caller) as connection:
        row = await connection.fetchrow(FIND, caller.user_id, session_id)
    if row is None:
        raise not_found()
    tag = {"ETag": etag(row["version"])}
    if is_named_by(request.headers.get("if-none-match"), row["version"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=tag)
    return _json({"data": {"session": presented(row)}, "meta": {}}, headers=tag)


def _caller(request: Request[Any]) -> Caller:
    return Caller.of(request, request.state["tokens"])


def _written(
    answer: Answer, name: str = "Content-Location", status: int = HTTPStatus.OK
) -> Response:
    headers = {"ETag": etag(answer.version), name: f"/sessions/{answer.session['id']}"}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return _json({"data": {"session": answer.session}, "meta": {}}, status, headers)


def _json(
    content: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, status, headers, "application/json")


async def on_refused(request: Request[Any], exc: Exception) -> Response:
    assert isinstance(exc, Refused)  # noqa: S101  it is registered for no other
    headers = dict(exc.headers or {})
    return _json(exc.body(request.state["request_id"]), exc.status_code, headers)


async def on_invalid(request: Request[Any], exc: Exception) -> Response:
    assert isinstance(exc, ValidationError)  # noqa: S101  the same
    issues = exc.errors(include_url=False, include_context=False, include_input=False)
    refused = Refused("VALIDATION_ERROR", "The request is not valid.", {"issues": issues})
    return await on_refused(request, refused)


async def _keep_as_it_is(_connection: object) -> None:
    """Replaces the reset query of the pool: every setting ends with its transaction."""


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
        routes=[
            Route("/sessions", plan_session, methods=["POST"]),
            Route("/sessions/{session_id}", get_session),
            Route("/sessions/{session_id}/start", start_session, methods=["POST"]),
            Route("/sessions/{session_id}/fail", fail_session, methods=["POST"]),
        ],
        middleware=[Middleware(RequestMiddleware)],
        exception_handlers={Refused: on_refused, ValidationError: on_invalid},
        lifespan=lifespan,
    )
