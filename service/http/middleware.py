"""Middleware for every request: its id, safe response headers, a line in the log."""

import asyncio
import re
import time
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

from service.application.errors import DependencyUnavailable
from service.domain.errors import ServiceError
from service.http.cors import AllowOrigins, allow_no_origin
from service.http.error_responses import error_response
from service.http.errors import InternalError

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SAFE_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_CLIENT_CLOSED_REQUEST = 499
"""Not a status of HTTP: nginx logs it when the client has closed the connection."""

log = structlog.get_logger("service.http")


class RequestMiddleware:
    """Outermost middleware: also wraps the answer to an unhandled exception.

    CORS is inside it, around the app and around each answer that is made here, so that a browser
    also lets its page read those, and that preflights get the headers and the line of all others.
    """

    def __init__(self, app: ASGIApp, allow_origins: AllowOrigins = allow_no_origin) -> None:
        self._allow_origins = allow_origins
        self._app = allow_origins(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(Headers(scope=scope))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        refusal = state.get("refusal")
        app = self._answer(refusal, state) if refusal else self._app
        status = _CLIENT_CLOSED_REQUEST

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                id_header = (b"x-request-id", request_id.encode())
                message["headers"] = [*message["headers"], id_header, *_SAFE_HEADERS]
            await send(message)

        try:
            await app(scope, receive, send_with_headers)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # the shutdown waits no longer; the result is not known
            answer = self._answer(DependencyUnavailable("process"), state)
            if status == _CLIENT_CLOSED_REQUEST:
                await answer(scope, receive, send_with_headers)
        except Exception:
            log.exception("unhandled", request_id=request_id)
            answer = self._answer(InternalError(), state)
            if status == _CLIENT_CLOSED_REQUEST:
                await answer(scope, receive, send_with_headers)
        log.info(
            "request",
            method=scope["method"] or None,  # of a request line that is not valid
            route=getattr(scope.get("route"), "path", None),
            status=status,
            code=state.get("error_code"),
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
            request_id=request_id,
        )

    def _answer(self, error: ServiceError, state: dict[str, Any]) -> ASGIApp:
        state["error_code"] = error.code
        return self._allow_origins(error_response(error, state["request_id"]))


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid4())
