# SPDX-License-Identifier: MIT
"""Starlette and asyncpg by hand, a transaction per request: conventional and fast."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import asyncpg
import orjson
from pydantic import BaseModel, ValidationError
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
)
from benchmarks.contenders.middleware import RequestMiddleware
from benchmarks.contenders.paging import limit_of, meta_of, position_of
from benchmarks.contenders.schemas import (
    CompleteSession,
    FailSession,
    PlanSession,
    UpdateSession,
)
from benchmarks.contenders.starlette_asyncpg import changes
from benchmarks.contenders.starlette_asyncpg.changes import Command
from benchmarks.contenders.starlette_asyncpg.requests import body_of, session_id_of
from benchmarks.contenders.starlette_asyncpg.transactions import (
    Answer,
    change,
    find,
    list_sessions,
    plan,
    presented,
)


async def plan_session(request: Request[Any]) -> Response:
    caller = _caller(request)
    body = await body_of(request, PlanSession)
    answer = await plan(request.state["pool"], caller, body)
    return _written(answer, "Location", HTTPStatus.CREATED)


async def start_session(request: Request[Any]) -> Response:
    return await _changed(request, changes.start)


async def update_session(request: Request[Any]) -> Response:
    return await _changed(request, changes.update, UpdateSession)


async def complete_session(request: Request[Any]) -> Response:
    return await _changed(request, changes.complete, CompleteSession)


async def fail_session(request: Request[Any]) -> Response:
    return await _changed(request, changes.fail, FailSession)


async def _changed(
    request: Request[Any], command: Callable[..., Command], schema: type[BaseModel] | None = None
) -> Response:
    caller, session_id = _caller(request), session_id_of(request)
    body = [await body_of(request, schema)] if schema else []
    return _written(await change(request.state["pool"], caller, session_id, command(*body)))


async def get_session(request: Request[Any]) -> Response:
    row = await find(request.state["pool"], _caller(request), session_id_of(request))
    tag = {"ETag": etag(row["version"])}
    if is_named_by(request.headers.get("if-none-match"), row["version"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=tag)
    return _json({"data": {"session": presented(row)}, "meta": {}}, headers=tag)


async def get_sessions(request: Request[Any]) -> Response:
    caller, query = _caller(request), request.query_params
    limit, after = limit_of(query.get("limit")), position_of(query.get("cursor"))
    rows, last = await list_sessions(request.state["pool"], caller, limit, after)
    return _json({"data": {"sessions": list(map(presented, rows))}, "meta": meta_of(last)})


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
            Route("/sessions", get_sessions),
            Route("/sessions/{session_id}", get_session),
            Route("/sessions/{session_id}", update_session, methods=["PATCH"]),
            Route("/sessions/{session_id}/start", start_session, methods=["POST"]),
            Route("/sessions/{session_id}/complete", complete_session, methods=["POST"]),
            Route("/sessions/{session_id}/fail", fail_session, methods=["POST"]),
        ],
        middleware=[Middleware(RequestMiddleware)],
        exception_handlers={Refused: on_refused, ValidationError: on_invalid},
        lifespan=lifespan,
    )
