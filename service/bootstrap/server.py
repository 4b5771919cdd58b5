"""The API's server: uvicorn, its workers, and the app that each of them runs."""

import signal
import sys
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette

from service.bootstrap import logs
from service.bootstrap.api import create_app
from service.bootstrap.memory import freeze_startup_objects
from service.bootstrap.settings import Settings, load
from service.bootstrap.shutdown import GracefulShutdown
from service.bootstrap.token_settings import find_doubts

log = structlog.get_logger("service.settings")


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT; SIGTERM ends the process with exit code 0."""
    logs.configure(settings.log_level)
    _log_doubts(settings)
    logs.warn_of_ignored(settings.ignored())
    # uvicorn shuts down and then raises the signal again, which would exit with a failure.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    uvicorn.run(
        "service.bootstrap.server:asgi",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        **server_options(settings),
    )


def _log_doubts(settings: Settings) -> None:
    url = settings.jwks_url.get_secret_value() if settings.jwks_url else None
    doubts = find_doubts(issuer=settings.jwt_issuer, audience=settings.jwt_audience, jwks_url=url)
    for setting, why in doubts.items():
        log.warning("setting looks wrong", setting=setting, why=why)


def server_options(settings: Settings) -> dict[str, Any]:
    """Options of uvicorn that are the same for `serve`, the demo and the tests."""
    return {
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # nothing here depends on the client's address
        "timeout_keep_alive": settings.keep_alive_seconds,
        "timeout_graceful_shutdown": settings.shutdown_timeout_seconds,
    }


def asgi() -> Starlette:
    """The app of one worker process, which reads its settings from the environment."""
    settings = load(Settings)
    logs.configure(settings.log_level)
    app = create_app(settings, shutdown=GracefulShutdown(settings.shutdown_notice_seconds))
    freeze_startup_objects()
    return app
