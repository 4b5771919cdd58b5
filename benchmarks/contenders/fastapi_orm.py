"""FastAPI and SQLAlchemy's ORM, a transaction per request: the habitual way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, StrictStr
from pydantic.alias_generators import to_camel
from sqlalchemy import DateTime, SmallInteger, Text, func, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from benchmarks.contenders.contract import (
    TIMEOUTS,
    Configuration,
    Refused,
    ResponseHeaders,
    Tokens,
    normal_reason,
    not_found,
    require_in_progress,
)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text}  # noqa: RUF012  its API


class TrainingSession(Base):
    __tablename__ = "sessions"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str]
    session_date: Mapped[datetime]
    sets: Mapped[list[int | None]] = mapped_column(ARRAY(SmallInteger))
    rpe: Mapped[int | None] = mapped_column(SmallInteger)
    notes: Mapped[str | None]
    version: Mapped[int] = mapped_column()
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  its API

    @property
    def total_reps(self) -> int:
        return sum(repetitions or 0 for repetitions in self.sets)


class Event(Base):
    __tablename__ = "events"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID]
    session_version: Mapped[int]
    event_type: Mapped[str]
    event_data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    occurred_at: Mapped[datetime]
    request_id: Mapped[str]


class OutboxEntry(Base):
    """Without `position`, which the service's role may not read back."""

    __tablename__ = "outbox"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)


class CamelCase(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True, extra="forbid"
    )


class FailSession(CamelCase):
    reason: StrictStr | None = None


class SessionDto(CamelCase):
    id: UUID
    status: str
    session_date: datetime
    sets: list[int | None]
    total_reps: int
    rpe: int | None
    notes: str | None
    created_at: datetime
    updated_at: datetime


class SessionData(CamelCase):
    session: SessionDto


class SessionAnswer(CamelCase):
    data: SessionData
    meta: dict[str, Any] = {}


bearer = HTTPBearer(auto_error=False)


async def current_user(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> UUID:
    """`async`, since FastAPI sends plain functions to a pool of threads."""
    tokens: Tokens = request.app.state.tokens
    return tokens.user_id(credentials.credentials if credentials else None)


async def transaction(
    request: Request, user_id: Annotated[UUID, Depends(current_user)]
) -> AsyncIterator[AsyncSession]:
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    async with sessions() as db:
        await db.execute(
            select(
                func.set_config("role", "session_service", True),
                func.set_config("service.acting_users", str(user_id), True),
            )
        )
        yield db


async def fail_session(  # noqa: PLR0917  FastAPI passes them by name
    request: Request,
    response: Response,
    session_id: UUID,
    user_id: Annotated[UUID, Depends(current_user)],
    db: Annotated[AsyncSession, Depends(transaction)],
    body: FailSession | None = None,
) -> SessionAnswer:
    reason = normal_reason(body.reason if body else None)
    session = await db.scalar(
        select(TrainingSession)
        .where(TrainingSession.user_id == user_id, TrainingSession.id == session_id)
        .with_for_update(key_share=True)
    )
    if session is None:
        raise not_found()
    require_in_progress(session_id, session.status)
    session.status = "failed"
    session.updated_at = datetime.now(UTC)
    event = Event(
        user_id=user_id,
        id=uuid7(),
        session_id=session_id,
        session_version=session.version + 1,
        event_type="session_failed",
        event_data={"reason": reason},
        occurred_at=session.updated_at,
        request_id=request.state.request_id,
    )
    db.add_all([event, OutboxEntry(user_id=user_id, event_id=event.id)])
    await db.commit()
    response.headers["ETag"] = f'"{session.version}"'
    response.headers["Content-Location"] = f"/sessions/{session_id}"
    return SessionAnswer(data=SessionData(session=SessionDto.model_validate(session)))


async def on_refused(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Refused)  # noqa: S101  it is registered for no other
    return JSONResponse(exc.body(request.state.request_id), exc.status, exc.headers())


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
    app.add_middleware(ResponseHeaders)
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
