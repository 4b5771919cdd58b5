# SPDX-License-Identifier: MIT
"""This service as it ships, except that no command and no read reaches a database.

`python -m benchmarks.contenders.ceiling` serves it, with the server and the garbage collection of
`python -m service serve`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import uvicorn
from starlette.applications import Starlette

from service.application.command import Command, CommandContext
from service.application.ports import Outcome
from service.bootstrap import listening, logs
from service.bootstrap.api import create_app as create_service
from service.bootstrap.clock import now
from service.bootstrap.memory import freeze_startup_objects
from service.bootstrap.server import server_options
from service.bootstrap.settings import Settings, load
from service.bootstrap.shutdown import GracefulShutdown
from service.bootstrap.workers import Supervisor
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


@dataclass(frozen=True, slots=True)
class _Worker:
    """Makes the app of one worker process; uvicorn sends it to each of them."""

    def __call__(self) -> Starlette:
        settings = load(Settings)
        logs.configure(settings.log_level)
        app = _create_app(settings)
        freeze_startup_objects()
        return app


def _create_app(settings: Settings) -> Starlette:
    app = create_service(settings, shutdown=GracefulShutdown(settings.shutdown_notice_seconds))
    of_service = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with of_service(app) as state:
            yield {**(state or {}), "commands": InstantCommands(), "queries": InstantQueries()}

    app.router.lifespan_context = lifespan
    return app


def main() -> None:
    settings = load(Settings)
    logs.configure(settings.log_level)
    sockets = listening.bind(settings.host, settings.port)
    options = server_options(settings)
    config = uvicorn.Config(_Worker(), factory=True, workers=settings.workers, **options)
    Supervisor(config, sockets, notice=settings.shutdown_notice_seconds).run()


if __name__ == "__main__":
    main()
