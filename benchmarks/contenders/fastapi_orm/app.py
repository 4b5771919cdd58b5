# SPDX-License-Identifier: MIT
"""FastAPI and SQLAlchemy's ORM, a transaction per request: the conventional way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, Header, Response
from fastapi.exceptions import RequestValidationError
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
    require_match,
    require_repetitions,
    require_status,
    timestamp,
)
from benchmarks.contenders.fastapi_orm.answers import (
    SessionAnswer,
    SessionData,
    SessionDto,
    SessionsAnswer,
    SessionsData,
)
from benchmarks.contenders.fastapi_orm.errors import on_invalid, on_refused
from benchmarks.contenders.fastapi_orm.models import TrainingSession
from benchmarks.contenders.fastapi_orm.transactions import Answer, Sessions
from benchmarks.contenders.middleware import RequestMiddleware
from benchmarks.contenders.paging import limit_of, meta_of, position_of
from benchmarks.contenders.schemas import (
    CompleteSession,
    FailSession,
    PlanSession,
    UpdateSession,
)

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
    session = sessions.change(session, "planned", status="in_progress")
    return _written(response, await sessions.commit(session, "session_started", {}, asked))


async def update_session(
    session_id: UUID, body: UpdateSession, sessions: OfCaller, response: Response
) -> SessionAnswer:
    given = body.changes()
    asked = sessions.caller.fingerprint("update", session_id, given)
    session = await sessions.find(session_id, lock=True)
    if replay := await sessions.replay(asked):
        return _written(response, replay)
    given = {name: value for name, value in given.items() if value != getattr(session, name, None)}
    accepted = ["planned"] if "session_date" in given else ["in_progress", "planned"]
    if session and not given:
        require_status(session.id, session.status, *accepted)
        require_match(sessions.caller.if_match, session.version)
        return _written(response, Answer(SessionDto.model_validate(session), session.version))
    session = sessions.change(session, *accepted, **given)
    data = {
        "sets": session.sets,
        "totalReps": session.total_reps,
        "rpe": session.rpe,
        "notes": session.notes,
        "sessionDate": timestamp(session.session_date),
    }
    return _written(response, await sessions.commit(session, "session_updated", data, asked))


async def complete_session(
    session_id: UUID, sessions: OfCaller, response: Response, body: CompleteSession | None = None
) -> SessionAnswer:
    given = body.model_dump(exclude_none=True) if body else {}
    asked = sessions.caller.fingerprint("complete", session_id, given)
    session = await sessions.find(session_id, lock=True)
    if replay := await sessions.replay(asked):
        return _written(response, replay)
    session = sessions.change(session, "in_progress", status="completed", **given)
    require_repetitions(session.id, session.sets)
    data = {"sets": session.sets, "totalReps": session.total_reps, "rpe": session.rpe}
    return _written(response, await sessions.commit(session, "session_completed", data, asked))


async def fail_session(
    session_id: UUID, sessions: OfCaller, response: Response, body: FailSession | None = None
) -> SessionAnswer:
    data = {"reason": normal_text(body.reason if body else None, "REASON")}
    asked = sessions.caller.fingerprint("fail", session_id, data)
    session = await sessions.find(session_id, lock=True)
    if replay := await sessions.replay(asked):
        return _written(response, replay)
    session = sessions.change(session, "in_progress", status="failed")
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


async def get_sessions(
    sessions: OfCaller, limit: str | None = None, cursor: str | None = None
) -> SessionsAnswer:
    found, last = await sessions.list(limit_of(limit), position_of(cursor))
    page = SessionsData(sessions=[SessionDto.model_validate(each) for each in found])
    return SessionsAnswer(data=page, meta=meta_of(last))


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
    app.get("/sessions", response_model=SessionsAnswer)(get_sessions)
    app.get("/sessions/{session_id}", response_model=SessionAnswer)(get_session)
    app.patch("/sessions/{session_id}", response_model=SessionAnswer)(update_session)
    app.post("/sessions/{session_id}/complete", response_model=SessionAnswer)(complete_session)
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
