"""This service as it ships, except that its commands never reach a database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from service.application.commands import Command, CommandContext
from service.application.ports import Outcome
from service.bootstrap import logs
from service.bootstrap.api import create_app as create_service
from service.bootstrap.clock import now
from service.bootstrap.settings import Settings, load
from service.domain.session import Session, SessionStatus


class AnsweredAtOnce:
    """In the place of group commit: a session in progress is always at hand."""

    def require_room(self) -> None:
        pass

    async def execute(self, command: Command) -> Outcome:
        moment = now()
        session = Session(
            user_id=command.user_id,
            id=command.session_id,
            status=SessionStatus.IN_PROGRESS,
            session_date=moment,
            sets=(12, 10, None),
            rpe=7,
            notes="knee felt fine",
            version=1,
            created_at=moment,
            updated_at=moment,
        )
        after, _ = command.apply(session, CommandContext(at=moment))
        return Outcome(after)


def create_app() -> Starlette:
    settings = load(Settings)
    logs.configure(settings.log_level)
    app = create_service(settings)
    of_service = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with of_service(app) as state:
            yield {**(state or {}), "commands": AnsweredAtOnce()}

    app.router.lifespan_context = lifespan
    return app
