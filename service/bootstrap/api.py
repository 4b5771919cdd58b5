"""Composes the API from settings. Everything made here lives as long as the app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import httpx2
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from uuid_utils.compat import uuid7

from service.application.group_commit.group_commit import GroupCommit
from service.application.group_commit.pending import ObserveGroup, ignore_group
from service.application.group_commit.scheduler import SchedulerLimits
from service.application.ports import CheckReadiness, Clock, NewId, ReadinessReport
from service.application.queries import Queries
from service.bootstrap.clock import now
from service.bootstrap.proxies import client_options
from service.bootstrap.pseudonyms import Pseudonyms
from service.bootstrap.settings import Settings
from service.bootstrap.shutdown import GracefulShutdown
from service.domain.errors import ServiceError
from service.http.auth import Authenticator
from service.http.cors import allow_origins
from service.http.docs.page import asset_routes
from service.http.endpoints import AppResources
from service.http.error_responses import respond_to_http_exception, respond_to_service_error
from service.http.key_set import KeySet
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


def create_app(
    settings: Settings,
    *,
    clock: Clock = now,
    new_id: NewId = uuid7,
    observe: ObserveGroup = ignore_group,
    shutdown: GracefulShutdown | None = None,
) -> Starlette:
    root_path = settings.root_path or ""
    operations = OPERATIONS if settings.docs else UNDESCRIBED
    openapi = render(operations, root_path) if settings.docs else b""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[AppResources]:
        async with AsyncExitStack() as stack:
            if shutdown:
                stack.enter_context(shutdown.intercept_sigterm())
            engine = compose_engine(settings)
            stack.push_async_callback(engine.dispose)
            outages = compose_outages(settings)
            database = compose_database(settings, engine, outages)
            readiness = Readiness(engine, outages)
            readiness.start_watch()
            stack.push_async_callback(readiness.close)
            commands = compose_commands(settings, database, clock, new_id, observe)
            queries = Queries(database.run_read, compose_limits(settings))
            stack.push_async_callback(
                _close, commands, queries, within=database.limits.transaction_max
            )
            refused = RefusedTokens()
            stack.callback(refused.close)
            yield {
                "authenticator": await _authenticator(settings, stack, refused),
                "refused_tokens": refused,
                "commands": commands,
                "queries": queries,
                "check_readiness": _readiness(readiness, shutdown),
                "new_id": new_id,
                "root_path": root_path,
                "openapi": openapi,
            }

    app = Starlette(
        routes=routes_of(operations, root_path)
        + (asset_routes(root_path) if settings.docs else []),
        middleware=[compose_middleware(settings)],
        exception_handlers={
            ServiceError: respond_to_service_error,
            HTTPException: respond_to_http_exception,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def compose_middleware(settings: Settings) -> Middleware:
    is_timed, key = settings.server_timing, settings.log_user_key
    return Middleware(
        RequestMiddleware,
        allow_origins(settings.allowed_origins, server_timing=is_timed),
        pseudonym=Pseudonyms(key.get_secret_value()) if key else None,
        server_timing=is_timed,
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
    observe: ObserveGroup = ignore_group,
) -> GroupCommit:
    limits = replace(
        compose_limits(settings),
        resolve_timeout=2 * database.limits.transaction_max,
        user_queue_max=settings.user_queue_max,
    )
    return GroupCommit(database.run_unit_of_work, clock, new_id, limits, observe)


def compose_limits(settings: Settings) -> SchedulerLimits:
    return SchedulerLimits(
        groups_in_flight=settings.groups_in_flight,
        group_size_max=settings.group_size_max,
        queue_max=settings.queue_max,
        timeout=settings.command_timeout_seconds,
    )


def _readiness(readiness: Readiness, shutdown: GracefulShutdown | None) -> CheckReadiness:
    async def check() -> ReadinessReport:
        if shutdown and shutdown.is_announced:
            return ReadinessReport({"process": "shuts down"}, is_ready=False)
        return await readiness.report()

    return check


async def _close(commands: GroupCommit, queries: Queries, *, within: float) -> None:
    """Waits for accepted requests. A stuck database gets no more time than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await commands.close()
            await queries.close()


async def _authenticator(
    settings: Settings, stack: AsyncExitStack, refused: RefusedTokens
) -> Authenticator:
    secret = settings.jwt_secret
    return Authenticator(
        secret=secret.get_secret_value() if secret else None,
        key_set=await _key_set(settings, stack),
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        refused=refused,
    )


async def _key_set(settings: Settings, stack: AsyncExitStack) -> KeySet | None:
    if settings.jwks_url is None:
        return None
    url = settings.jwks_url.get_secret_value()
    client = await stack.enter_async_context(httpx2.AsyncClient(**client_options(url)))
    key_set = KeySet(
        client,
        url,
        lifetime=settings.jwks_lifetime_seconds,
        outage=settings.jwks_outage_seconds,
        cooldown=settings.jwks_cooldown_seconds,
        timeout=settings.jwks_timeout_seconds,
    )
    stack.push_async_callback(key_set.close)
    return key_set
