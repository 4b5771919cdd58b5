# SPDX-License-Identifier: MIT
"""The API's server: uvicorn, its workers, and the app that each of them runs."""

import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import structlog
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE

from service.bootstrap import listening, logs, open_files
from service.bootstrap.api import create_app
from service.bootstrap.api_metrics import collected, reporting_to, served
from service.bootstrap.memory import freeze_startup_objects
from service.bootstrap.metrics import CannotListen
from service.bootstrap.observers import Observers
from service.bootstrap.proxies import find_proxy
from service.bootstrap.settings import Settings, load
from service.bootstrap.shutdown import GracefulShutdown
from service.bootstrap.token_settings import find_doubts
from service.bootstrap.workers import LoneServer, Supervisor, accept_ctrl_c
from service.http.connection.factory import ConnectionFactory
from service.http.connection.limits import ConnectionLimits

log = structlog.get_logger("service.server")


class _Server(LoneServer):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _log_addresses(sockets or [])


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, which end the process with exit code 0.

    Raises WrongSettings if the key set is to be fetched through a proxy that cannot be used.
    """
    if settings.jwks_url:
        find_proxy(settings.jwks_url.get_secret_value())
    logs.configure(settings.log_level)
    _log_doubts(settings)
    logs.warn_of_ignored(settings.ignored())
    logs.warn_of_pooler(settings.pooler_doubt())
    # uvicorn shuts down and then raises the signal again, which would exit with a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    run = _run_workers if settings.workers > 1 else _run_here
    try:
        sockets = listening.bind(settings.host, settings.port)
    except OSError as exc:
        _end_without_listening(host=settings.host, port=settings.port, reason=exc.strerror)
    try:
        with suppress(KeyboardInterrupt):
            run(settings, sockets)
    except CannotListen as exc:
        _end_without_listening(**exc.facts)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:  # else another process began to listen before this one
            raise
        _end_without_listening(host=settings.host, port=settings.port, reason=exc.strerror)


def _end_without_listening(**facts: object) -> NoReturn:
    log.error("cannot_listen", **facts)
    sys.exit(STARTUP_FAILURE)


def _run_workers(settings: Settings, sockets: list[socket.socket]) -> None:
    with collected(settings) as channel:
        _log_addresses(sockets)
        workers = settings.workers
        config = _config(settings, _Worker(channel), workers=workers)
        config.timeout_worker_healthcheck = settings.worker_health_timeout_seconds
        Supervisor(config, sockets, notice=settings.shutdown_notice_seconds).run()


def _run_here(settings: Settings, sockets: list[socket.socket]) -> None:
    with served(settings) as (observers, _):
        server = _Server(_config(settings, partial(_app, settings, observers)))
        server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _config(
    settings: Settings, make_app: Callable[[], Starlette], *, workers: int = 1
) -> uvicorn.Config:
    return uvicorn.Config(make_app, factory=True, workers=workers, **server_options(settings))


def _log_addresses(sockets: list[socket.socket]) -> None:
    for each in sockets:
        url = listening.url_of(each)
        logging.getLogger("uvicorn.error").info("Uvicorn running on %s (Press CTRL+C to quit)", url)


def _log_doubts(settings: Settings) -> None:
    url = settings.jwks_url.get_secret_value() if settings.jwks_url else None
    doubts = find_doubts(issuer=settings.jwt_issuer, audience=settings.jwt_audience, jwks_url=url)
    for setting, why in doubts.items():
        log.warning("setting looks wrong", setting=setting, why=why)


def server_options(settings: Settings) -> dict[str, Any]:
    """Options of uvicorn that are the same for `serve`, the demo and the tests."""
    return {
        "http": ConnectionFactory(connection_limits(settings)),
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # nothing here depends on the client's address
        "timeout_graceful_shutdown": settings.shutdown_timeout_seconds,
    }


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Of each worker. Fewer connections than wanted, if the limit of open files allows no more."""
    wanted = settings.connections_max
    possible = open_files.available_for_connections(wanted, others=settings.database_pool_size)
    if possible < wanted:
        log.warning(
            "open_files_limit_too_low",
            open_files_max=open_files.limit(),
            connections_wanted=wanted,
            connections_max=possible,
        )
    return ConnectionLimits(
        connections_max=possible,
        bound_by="SERVICE_CONNECTIONS_MAX" if possible == wanted else "limit of open files",
        first_byte_timeout=settings.first_byte_timeout_seconds,
        head_timeout=settings.head_timeout_seconds,
        body_timeout=settings.body_timeout_seconds,
        send_timeout=settings.send_timeout_seconds,
        keep_alive=settings.keep_alive_seconds,
    )


@dataclass(frozen=True, slots=True)
class _Worker:
    """Makes the app of one worker process, which reads its settings from the environment.

    uvicorn sends it to each process. `channel`: where to report metrics, if anywhere.
    """

    channel: socket.socket | None

    def __call__(self) -> Starlette:
        accept_ctrl_c()
        settings = load(Settings)
        logs.configure(settings.log_level)
        return _app(settings, reporting_to(self.channel, settings))


def _app(settings: Settings, observers: Observers) -> Starlette:
    shutdown = GracefulShutdown(settings.shutdown_notice_seconds)
    app = create_app(settings, observers=observers, shutdown=shutdown)
    freeze_startup_objects()
    return app
