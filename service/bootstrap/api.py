# SPDX-License-Identifier: MIT
"""Composes the API from settings. Everything made here lives as long as the app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7

from service.application.group_commit.group_commit import GroupCommit
from service.application.group_commit.scheduler import SchedulerLimits
from service.application.ports import CheckReadiness, Clock, NewId, ReadinessReport
from service.application.queries import Queries
from service.bootstrap.authentication import compose_authenticator
from service.bootstrap.clock import now
from service.bootstrap.observers import NO_OBSERVERS, Observers, Parts
from service.bootstrap.pseudonyms import Pseudonyms
from service.bootstrap.request_tracing import NO_WRAPPERS, Wrappers, compose_wrappers
from service.bootstrap.settings import Settings
from service.bootstrap.shutdown import GracefulShutdown
from service.http.cors import allow_origins
from service.http.docs.page import asset_routes
from service.http.endpoints import AppResources
from service.http.middleware import RequestMiddleware
from service.http.openapi.document import render
from service.http.operations.table import OPERATIONS, UNDESCRIBED
from service.http.routes import routes_of
from service.http.token_refusals import RefusedTokens
from service.persistence.connect_causes import server_name
from service.persistence.database import Database, Limits
from service.persistence.database_url import parse_database_url
from service.persistence.engine import create_engine
from service.persistence.outages import Outages
from service.persistence.readiness import Readiness

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


def create_app(
    settings: Settings,
    *,
    clock: Clock = now,
    new_id: NewId = uuid7,
    observers: Observers = NO_OBSERVERS,
    shutdown: GracefulShutdown | None = None,
    tracer_provider: "TracerProvider | None" = None,
) -> Starlette:
    root_path = settings.root_path or ""
    operations = OPERATIONS if settings.docs else UNDESCRIBED
    openapi = render(operations, root_path) if settings.docs else b""
    wrappers = compose_wrappers(settings, tracer_provider)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[AppResources]:
        async with AsyncExitStack() as stack:
            if shutdown:
                stack.enter_context(shutdown.intercept_sigterm())
            await stack.enter_async_context(wrappers.lifetime())
            watch = await stack.enter_async_context(observers.lifetime())
            engine = compose_engine(settings)
            stack.push_async_callback(engine.dispose)
            outages = compose_outages(settings)
            database = compose_database(settings, engine, outages)
            readiness = Readiness(engine, outages)
            readiness.start_watch()
            stack.push_async_callback(readiness.close)
            commands = compose_commands(
                settings, database, clock, new_id, observers, wrappers=wrappers
            )
            queries = Queries(
                wrappers.transactions(database.run_read),
                compose_limits(settings),
                observers.groups_of_reads,
                wrappers.groups,
            )
            stack.push_async_callback(
                _close, commands, queries, within=database.limits.transaction_max
            )
            refused = RefusedTokens()
            stack.callback(refused.close)
            authenticator = await compose_authenticator(settings, stack, refused, observers)
            watch(
                Parts(
                    commands=commands,
                    queries=queries,
                    database=database,
                    engine=engine,
                    is_ready=lambda: readiness.was_ready and not _shuts_down(shutdown),
                )
            )
            yield {
                "authenticator": authenticator,
                "refused_tokens": refused,
                "commands": commands,
                "queries": queries,
                "check_readiness": _readiness(readiness, shutdown),
                "is_stopping": lambda: shutdown is not None and shutdown.is_announced,
                "new_id": new_id,
                "root_path": root_path,
                "openapi": openapi,
            }

    app = _Api(
        routes=routes_of(operations, root_path)
        + (asset_routes(root_path) if settings.docs else []),
        middleware=[*wrappers.middleware, compose_middleware(settings, observers)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


class _Api(Starlette):
    """Without Starlette's two own middlewares: RequestMiddleware answers every error."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = self.router
        for middleware, arguments, options in reversed(self.user_middleware):
            app = middleware(app, *arguments, **options)
        return app


def compose_middleware(settings: Settings, observers: Observers = NO_OBSERVERS) -> Middleware:
    is_timed, key = settings.server_timing, settings.log_user_key
    return Middleware(
        RequestMiddleware,
        allow_origins(settings.allowed_origins, server_timing=is_timed),
        pseudonym=Pseudonyms(key.get_secret_value()) if key else None,
        server_timing=is_timed,
        observe=observers.requests,
    )


def compose_engine(settings: Settings) -> AsyncEngine:
    return create_engine(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_timeout_seconds,
        pool_size=settings.database_pool_size,
        transaction_pooler=settings.database_transaction_pooler,
    )


def compose_outages(settings: Settings) -> Outages:
    return Outages(server_name(parse_database_url(settings.database_url.get_secret_value())))


def compose_database(
    settings: Settings, engine: AsyncEngine, outages: Outages | None = None
) -> Database:
    limits = Limits(
        pool_size=settings.database_pool_size,
        pool_timeout=settings.database_pool_timeout_seconds,
        lock_timeout=settings.database_lock_timeout_seconds,
        statement_timeout=settings.database_statement_timeout_seconds,
        idle_in_transaction_timeout=settings.database_idle_in_transaction_timeout_seconds,
    )
    return Database(engine, limits, outages)


def compose_commands(
    settings: Settings,
    database: Database,
    clock: Clock = now,
    new_id: NewId = uuid7,
    observers: Observers = NO_OBSERVERS,
    *,
    wrappers: Wrappers = NO_WRAPPERS,
) -> GroupCommit:
    limits = replace(
        compose_limits(settings),
        resolve_timeout=2 * database.limits.transaction_max,
        user_queue_max=settings.user_queue_max,
    )
    return GroupCommit(
        wrappers.transactions(database.run_unit_of_work),
        clock,
        new_id,
        limits,
        observers.groups_of_commands,
        observe_commands=observers.commands,
        wrap=wrappers.groups,
    )


def compose_limits(settings: Settings) -> SchedulerLimits:
    return SchedulerLimits(
        groups_in_flight=settings.groups_in_flight,
        group_size_max=settings.group_size_max,
        queue_max=settings.queue_max,
        timeout=settings.command_timeout_seconds,
    )


def _shuts_down(shutdown: GracefulShutdown | None) -> bool:
    return shutdown is not None and shutdown.is_announced


def _readiness(readiness: Readiness, shutdown: GracefulShutdown | None) -> CheckReadiness:
    async def check() -> ReadinessReport:
        if _shuts_down(shutdown):
            return ReadinessReport({"process": "shuts down"}, is_ready=False)
        return await readiness.report()

    return check


async def _close(commands: GroupCommit, queries: Queries, *, within: float) -> None:
    """Waits for accepted requests. A stuck database gets no more time than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await commands.close()
            await queries.close()
