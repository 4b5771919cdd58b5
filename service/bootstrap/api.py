"""Composes the service: what is made here lives as long as the app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import httpx2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from uuid_utils.compat import uuid7

from service.application.group_commit.group_commit import GroupCommit
from service.application.group_commit.transaction import Observe, ignore
from service.application.ports import CheckReadiness, Clock, NewId
from service.application.queries import Queries
from service.bootstrap.clock import now
from service.bootstrap.settings import Settings
from service.bootstrap.shutdown import GracefulShutdown
from service.domain.errors import ServiceError
from service.http.auth import Authenticator
from service.http.errors import on_http_exception, on_service_error
from service.http.key_set import KeySet
from service.http.middleware import RequestMiddleware
from service.http.routes import AppState, routes
from service.persistence.engine import Database, Limits, create_engine, create_pool
from service.persistence.reader import SqlReads
from service.persistence.readiness import Readiness


def create_app(
    settings: Settings,
    *,
    clock: Clock = now,
    new_id: NewId = uuid7,
    observe: Observe = ignore,
    shutdown: GracefulShutdown | None = None,
) -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[AppState]:
        async with AsyncExitStack() as stack:
            if shutdown:
                stack.enter_context(shutdown.intercept_sigterm())
            limits = _limits(settings)
            database = Database(
                await _pool(settings, stack),
                limits,
                transaction_pooler=settings.database_transaction_pooler,
            )
            commands = GroupCommit(
                database.unit_of_work,
                clock,
                new_id,
                groups_in_flight=settings.groups_in_flight,
                group_size_max=settings.group_size_max,
                queue_max=settings.queue_max,
                timeout=settings.command_timeout_seconds,
                resolve_timeout=2 * limits.transaction_max,
                observe=observe,
            )
            stack.push_async_callback(_close, commands, within=limits.transaction_max)
            yield {
                "authenticator": await _authenticator(settings, stack),
                "commands": commands,
                "queries": Queries(SqlReads(database)),
                "check_readiness": _readiness(settings, stack, shutdown),
                "new_id": new_id,
                "max_lengths": {
                    "reason": settings.reason_max_length,
                    "notes": settings.notes_max_length,
                },
            }

    app = Starlette(
        routes=routes,
        middleware=[Middleware(RequestMiddleware)],
        exception_handlers={ServiceError: on_service_error, HTTPException: on_http_exception},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def _pool(settings: Settings, stack: AsyncExitStack) -> asyncpg.Pool:
    pool = create_pool(
        settings.database_url.get_secret_value(),
        size=_limits(settings).pool_size,
        connect_timeout=settings.database_connect_timeout_seconds,
        transaction_pooler=settings.database_transaction_pooler,
        settings=_limits(settings).settings,
    )
    stack.callback(pool.terminate)
    return await pool


def _readiness(
    settings: Settings, stack: AsyncExitStack, shutdown: GracefulShutdown | None
) -> CheckReadiness:
    """With one connection of its own, however busy the others are."""
    engine = create_engine(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_timeout_seconds,
        transaction_pooler=settings.database_transaction_pooler,
    )
    stack.push_async_callback(engine.dispose)
    readiness = Readiness(engine)

    async def check() -> dict[str, str]:
        if shutdown and shutdown.is_announced:
            return {"process": "shuts down"}
        return await readiness.checks()

    return check


async def _close(commands: GroupCommit, *, within: float) -> None:
    """Once requests have had their time to finish, a database that is stuck does not get more."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await commands.close()


def _limits(settings: Settings) -> Limits:
    return Limits(
        pool_size=settings.database_pool_size - 1,  # one is for readiness
        pool_timeout=settings.database_pool_timeout_seconds,
        lock_timeout=settings.database_lock_timeout_seconds,
        statement_timeout=settings.database_statement_timeout_seconds,
        idle_in_transaction_timeout=settings.database_idle_in_transaction_timeout_seconds,
    )


async def _authenticator(settings: Settings, stack: AsyncExitStack) -> Authenticator:
    secret = settings.jwt_secret
    return Authenticator(
        secret=secret.get_secret_value() if secret else None,
        key_set=await _key_set(settings, stack),
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
    )


async def _key_set(settings: Settings, stack: AsyncExitStack) -> KeySet | None:
    if settings.jwks_url is None:
        return None
    client = await stack.enter_async_context(httpx2.AsyncClient())
    key_set = KeySet(
        client,
        settings.jwks_url,
        lifetime=settings.jwks_lifetime_seconds,
        outage=settings.jwks_outage_seconds,
        cooldown=settings.jwks_cooldown_seconds,
        timeout=settings.jwks_timeout_seconds,
    )
    stack.push_async_callback(key_set.close)
    return key_set
