# SPDX-License-Identifier: MIT
"""FastAPI and SQLAlchemy's ORM, a transaction per request: the conventional way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from uuid_utils.compat import uuid7

from benchmarks.contenders.callers import Tokens
from benchmarks.contenders.configuration import TIMEOUTS, Configuration
from benchmarks.contenders.contract import (
    Refused,
    etag,
    is_named_by,
    normal_text,
    not_found,
    timestamp,
)
from benchmarks.contenders.fastapi_orm.answers import SessionAnswer, SessionData, SessionDto
from benchmarks.contenders.fastapi_orm.models import TrainingSession
from benchmarks.contenders.fastapi_orm.transactions import Answer, Sessions
from benchmarks.contenders.middleware import RequestMiddleware
from benchmarks.contenders.schemas import FailSession, PlanSession

OfCaller = Annotated[Sessions, Depends()]


async def plan_session(body: PlanSession, sessions: OfCaller, response: Response) -> SessionAnswer:
    asked = sessions.caller.fingerprint("plan", body.model_dump(mode="json"))
    if replay := await sessions.replay(asked):
        return _written(response, replay, "Location")
    now = datetime.now(UTC)
    session = TrainingSession(
        user_id=sessions.caller.user_id,
        id=uuid7(),
        status="planned",
        session_date=body.session_date or now,
        sets=body.sets or [],
        notes=normal_text(body.notes, "NOTES"),
        created_at=now,
        updated_at=now,
    )
    data = {"sessionDate": timestamp(session.session_date)}
    answer = await sessions.commit(session, "session_planned", data, asked)
    return _written(response, answer, "Location")


async def start_session(session_id: UUID, sessions: OfCaller, response: Response) -> SessionAnswer:
    asked = sessions.caller.fingerprint("start", session_id)
    session = await sessions.find(session_id, lock=True)
    if replay := await sessions.replay(asked):
        return _written(response, replay)
    session = sessions.change(session, required="planned", status="in_progress")
    return _written(response, await sessions.commit(session, "session_started", {}, asked))


async def fail_session(
    session_id: UUID, sessions: OfCaller, response: Response, body: FailSession | None = None
) -> SessionAnswer:
    data = {"reason": normal_text(body.reason if body else None, "REASON")}
    asked = sessions.caller.fingerprint("fail", session_id, data)
    session = await sessions.find(session_id, lock=True)
    if replay := await sessions.replay(asked):
        return _written(response, replay)
    session = sessions.change(session, required="in_progress", status="failed")
    return _written(response, await sessions.commit(session, "session_failed", data, asked))


async def get_session(
    session_id: UUID,
    sessions: OfCaller,
    response: Response,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Any:
    session = await sessions.find(session_id)
    if session is None:
        raise not_found()
    response.headers["ETag"] = etag(session.version)
    if is_named_by(if_none_match, session.version):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=dict(response.headers))
    return _presented(SessionDto.model_validate(session))


def _written(
    response: Response, answer: Answer, location: str = "Content-Location"
) -> SessionAnswer:
    response.headers["ETag"] = etag(answer.version)
    response.headers[location] = f"/sessions/{answer.session.id}"
    if answer.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return _presented(answer.session)


def _presented(session: SessionDto) -> SessionAnswer:
    return SessionAnswer(data=SessionData(session=session))


async def on_refused(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Refused)  # noqa: S101  it is registered for no other
    return JSONResponse(exc.body(request.state.request_id), exc.status_code, exc.headers)


async def on_invalid(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)  # noqa: S101  the same
    issues = [
        {"path": list(error["loc"]), "code": error["type"], "message": error["msg"]}
        for error in exc.errors()
    ]
    refused = Refused("VALIDATION_ERROR", "The request is not valid.", {"issues": issues})
    return await on_refused(request, refused)


def create_app() -> FastAPI:
    configuration = Configuration.from_environment()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = _engine(configuration)
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        app.state.tokens = Tokens(configuration)
        yield
        await engine.dispose()

    app = FastAPI(
        lifespan=lifespan,
        exception_handlers={Refused: on_refused, RequestValidationError: on_invalid},
    )
    app.add_middleware(RequestMiddleware)
    app.post("/sessions", status_code=HTTPStatus.CREATED, response_model=SessionAnswer)(
        plan_session
    )
    app.get("/sessions/{session_id}", response_model=SessionAnswer)(get_session)
    app.post("/sessions/{session_id}/start", response_model=SessionAnswer)(start_session)
    app.post("/sessions/{session_id}/fail", response_model=SessionAnswer)(fail_session)
    return app


def _engine(configuration: Configuration) -> AsyncEngine:
    async def connect(**options: Any) -> asyncpg.Connection:
        return await asyncpg.connect(configuration.database_url, **options)

    return create_async_engine(
        "postgresql+asyncpg://",
        pool_size=configuration.pool_size,
        max_overflow=0,
        connect_args={"async_creator_fn": connect, "server_settings": TIMEOUTS},
    )
