# SPDX-License-Identifier: MIT
"""Sessions, their events and the outbox, in a transaction for each request."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from benchmarks.contenders.callers import Caller
from benchmarks.contenders.contract import (
    ONE_EVENT_PER_KEY,
    ONE_IN_PROGRESS,
    active_session_exists,
    not_found,
    require_match,
    require_same_command,
    require_status,
)
from benchmarks.contenders.fastapi_orm.answers import SessionDto
from benchmarks.contenders.fastapi_orm.models import Event, OutboxEntry, TrainingSession
from benchmarks.contenders.paging import Position


async def current_caller(request: Request) -> Caller:
    """`async`, because FastAPI runs plain functions in a pool of threads."""
    return Caller.of(request, request.app.state.tokens)


async def transaction(
    request: Request, caller: Annotated[Caller, Depends(current_caller)]
) -> AsyncIterator[AsyncSession]:
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    async with sessions() as db:
        await _become_service(db, caller)
        yield db


async def _become_service(db: AsyncSession, caller: Caller) -> None:
    await db.execute(
        select(
            func.set_config("role", "session_service", True),
            func.set_config("service.acting_users", str(caller.user_id), True),
        )
    )


@dataclass(frozen=True, slots=True)
class Answer:
    session: SessionDto
    version: int
    replayed: bool = False


@dataclass(slots=True)
class Sessions:
    """The commands and reads of a caller; `asked` is the fingerprint of the command."""

    db: Annotated[AsyncSession, Depends(transaction)]
    caller: Annotated[Caller, Depends(current_caller)]

    async def find(self, session_id: UUID, *, lock: bool = False) -> TrainingSession | None:
        query = select(TrainingSession).where(
            TrainingSession.user_id == self.caller.user_id, TrainingSession.id == session_id
        )
        found: TrainingSession | None = await self.db.scalar(
            query.with_for_update(key_share=True) if lock else query
        )
        return found

    async def list(
        self, limit: int, after: Position | None
    ) -> tuple[Sequence[TrainingSession], Position | None]:
        """A page, and the position of its last session if others follow."""
        place = tuple_(TrainingSession.session_date, TrainingSession.id)
        query = select(TrainingSession).where(TrainingSession.user_id == self.caller.user_id)
        if after is not None:
            query = query.where(place < after)
        newest = TrainingSession.session_date.desc(), TrainingSession.id.desc()
        rows = (await self.db.scalars(query.order_by(*newest).limit(limit + 1))).all()
        return rows[:limit], rows[limit - 1].position if len(rows) > limit else None

    def change(
        self, session: TrainingSession | None, *accepted: str, **values: Any
    ) -> TrainingSession:
        """`accepted`: the statuses before."""
        if session is None:
            raise not_found()
        require_status(session.id, session.status, *accepted)
        require_match(self.caller.if_match, session.version)
        now = datetime.now(UTC)
        for name, value in values.items():
            setattr(session, name, value)
        session.updated_at = now
        if values.get("status") == "in_progress":
            session.started_at = now
        elif "status" in values:
            session.ended_at = now
        return session

    async def replay(self, asked: bytes | None) -> Answer | None:
        if asked is None:
            return None
        event: Event | None = await self.db.scalar(
            select(Event).where(
                Event.user_id == self.caller.user_id,
                Event.idempotency_key == self.caller.idempotency_key,
            )
        )
        if event is None or event.command_fingerprint is None:
            return None
        require_same_command(event.command_fingerprint, asked)
        session = SessionDto.model_validate(event.session_snapshot)
        return Answer(session, event.session_version, replayed=True)

    async def commit(
        self,
        session: TrainingSession,
        event_type: str,
        event_data: dict[str, Any],
        asked: bytes | None,
    ) -> Answer:
        answer = Answer(SessionDto.model_validate(session), (session.version or 0) + 1)
        event = self._event(session, event_type, event_data, asked, answer)
        entry = OutboxEntry(user_id=event.user_id, event_id=event.id)
        self.db.add_all([event, entry])
        try:
            await self.db.commit()
        except IntegrityError as exc:
            return await self._resolved(exc, asked)
        return answer

    def _event(
        self,
        session: TrainingSession,
        event_type: str,
        event_data: dict[str, Any],
        asked: bytes | None,
        answer: Answer,
    ) -> Event:
        return Event(
            user_id=self.caller.user_id,
            id=uuid7(),
            session=session,
            session_version=answer.version,
            event_type=event_type,
            event_data=event_data,
            occurred_at=session.updated_at,
            request_id=self.caller.request_id,
            idempotency_key=self.caller.idempotency_key,
            command_fingerprint=asked,
            session_snapshot=answer.session.model_dump(mode="json") if asked else None,
        )

    async def _resolved(self, exc: IntegrityError, asked: bytes | None) -> Answer:
        constraint = getattr(exc.orig and exc.orig.__cause__, "constraint_name", None)
        await self.db.rollback()
        await _become_service(self.db, self.caller)
        if constraint == ONE_IN_PROGRESS:
            raise active_session_exists(await self._active()) from None
        if constraint == ONE_EVENT_PER_KEY and (replay := await self.replay(asked)):
            return replay
        raise exc

    async def _active(self) -> UUID | None:
        found: UUID | None = await self.db.scalar(
            select(TrainingSession.id).where(
                TrainingSession.user_id == self.caller.user_id,
                TrainingSession.status == "in_progress",
            )
        )
        return found
