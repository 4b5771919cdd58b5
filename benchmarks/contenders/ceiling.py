# SPDX-License-Identifier: MIT
"""This service as it ships, except that no command and no read reaches a database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from starlette.applications import Starlette

from service.application.commands import Command, CommandContext
from service.application.ports import Outcome
from service.bootstrap import logs
from service.bootstrap.api import create_app as create_service
from service.bootstrap.clock import now
from service.bootstrap.settings import Settings, load
from service.domain.session import Session, SessionStatus


class InstantCommands:
    """Stands in for group commit: every session exists and is in progress."""

    def require_room(self) -> None:
        pass

    def require_user_room(self, user_id: UUID) -> None:
        pass

    async def execute(self, command: Command, *_: object) -> Outcome:
        session = _session_in_progress(command.user_id, command.session_id)
        after, _ = command.apply(session, CommandContext(at=now()))
        return Outcome(after)


class InstantQueries:
    async def session(self, user_id: UUID, session_id: UUID, *_: object) -> Session:
        return _session_in_progress(user_id, session_id)


def _session_in_progress(user_id: UUID, session_id: UUID) -> Session:
    moment = now()
    return Session(
        user_id=user_id,
        id=session_id,
        status=SessionStatus.IN_PROGRESS,
        session_date=moment,
        started_at=moment,
        ended_at=None,
        sets=(12, 10, None),
        rpe=7,
        notes="knee felt fine",
        version=1,
        created_at=moment,
        updated_at=moment,
    )


def create_app() -> Starlette:
    settings = load(Settings)
    logs.configure(settings.log_level)
    app = create_service(settings)
    of_service = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with of_service(app) as state:
            yield {**(state or {}), "commands": InstantCommands(), "queries": InstantQueries()}

    app.router.lifespan_context = lifespan
    return app
