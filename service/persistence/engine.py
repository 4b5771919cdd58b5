# SPDX-License-Identifier: MIT
"""The engine: its connections, and which of them it may use."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import ExceptionContext, Pool, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.application.errors import DependencyUnavailable
from service.persistence.connect_causes import connect_cause
from service.persistence.connecting import connect
from service.persistence.database_url import parse_database_url
from service.persistence.driver import DriverConnection, Generation
from service.persistence.errors import DATABASE, DRIVER_ERRORS, READ_ONLY


def create_engine(
    url: str,
    *,
    connect_timeout: float,
    pool_size: int = 1,
    transaction_pooler: bool = False,
    poolclass: type[Pool] | None = None,
) -> AsyncEngine:
    """An engine for a URL as libpq knows it. Raises WrongUrl.

    `connect_timeout` in seconds, unless the URL has one. Behind a pooler in transaction mode, the
    next statement may come to a connection that does not have this one's prepared statement, so
    none is kept.

    Where the engine makes a connection, it raises DependencyUnavailable with the cause.
    """

    target = parse_database_url(url)
    timeout = target.connect_timeout or connect_timeout
    generation = Generation()

    async def connect_with_watchdog(**options: Any) -> DriverConnection:
        made_at = time.monotonic()
        try:
            connection = await connect(
                target, within=timeout, connection_class=DriverConnection, **options
            )
        except (*DRIVER_ERRORS, ValueError) as exc:
            raise DependencyUnavailable(DATABASE, connect_cause(exc, target)) from exc
        connection.generation, connection.made_at = generation, made_at
        # For the statements that SQLAlchemy sends on a new connection.
        loop = asyncio.get_running_loop()
        connection.watchdog = loop.call_later(timeout, connection.terminate)
        return connection

    connect_args: dict[str, Any] = {
        "async_creator_fn": connect_with_watchdog,
        "prepared_statement_name_func": _unique_names(),
    }
    if transaction_pooler or target.transaction_pooler:
        del connect_args["prepared_statement_name_func"]
        connect_args["statement_cache_size"] = 0
        connect_args["prepared_statement_cache_size"] = 0
    pooling: dict[str, Any] = (
        {"poolclass": poolclass} if poolclass else {"pool_size": pool_size, "max_overflow": 0}
    )
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args=connect_args,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # in errors and logs: users wrote some of them
        **pooling,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def stop_watchdog(connection: Any, _record: object) -> None:
        connection.driver_connection.watchdog.cancel()

    @event.listens_for(engine.sync_engine, "handle_error")
    def leave_read_only_server(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
            generation.end()

    @event.listens_for(engine.sync_engine, "checkout")
    def refuse_if_out_of_date(connection: Any, _record: object, _proxy: object) -> None:
        if generation.has_ended_since(connection.driver_connection.made_at):
            raise DisconnectionError  # SQLAlchemy closes it, and makes another

    return engine


def _unique_names() -> Callable[[], str]:
    """Names of prepared statements that no other client has.

    Behind a pooler in transaction mode, a client with the same name, such as another worker, would
    execute this one's statement as its own.
    """
    prefix, numbers = uuid4().hex, itertools.count()
    return lambda: f"service_{prefix}_{next(numbers):x}"
