# SPDX-License-Identifier: MIT
"""Middleware for every request: its id, safe response headers, a line in the log."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

from service.application.errors import DependencyUnavailable
from service.application.group_commit.pending import RequestTimes
from service.domain.errors import ServiceError
from service.http.cors import AllowOrigins, allow_no_origin
from service.http.error_responses import error_of_router, error_response
from service.http.errors import InternalError
from service.http.header_values import HeaderValues, header_values_of
from service.http.headers import parse_traceparent
from service.http.observing import ObservedRequest, ObserveRequest, ignore
from service.http.server_timing import timing_headers

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SAFE_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_CLIENT_CLOSED_REQUEST = 499
"""Not a status of HTTP: nginx logs it when the client has closed the connection."""

Pseudonym = Callable[[UUID], str]

log = structlog.get_logger("service.http")


class RequestMiddleware:
    """Outermost middleware: answers every error, and also wraps these answers.

    CORS is inside it, around the app and around each answer that is made here, so that a browser
    also lets its page read those, and that preflights get the headers and the line of all others.

    `pseudonym`: the name of a user in the log; None leaves users out. `server_timing`: answers say
    where their time went. `observe` is told of every request.
    """

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: AllowOrigins = allow_no_origin,
        *,
        pseudonym: Pseudonym | None = None,
        server_timing: bool = False,
        observe: ObserveRequest = ignore,
    ) -> None:
        self._observe = observe
        self._allow_origins = allow_origins
        self._pseudonym = pseudonym
        self._server_timing = server_timing
        self._app = allow_origins(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = header_values_of(scope)
        request_id = _request_id(headers)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["times"] = times = RequestTimes() if self._server_timing else None
        state.setdefault("traceparent", None)
        status = _CLIENT_CLOSED_REQUEST

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                id_header = (b"x-request-id", request_id.encode())
                message["headers"] = [*message["headers"], id_header, *_SAFE_HEADERS]
                if times:
                    total = time.perf_counter() - started
                    message["headers"] += timing_headers(times, total, message["headers"])
            await send(message)

        error = state.get("refusal") or await self._run(scope, receive, send_with_headers)
        if error:
            state["error_code"] = error.code
            if status == _CLIENT_CLOSED_REQUEST:
                answer = self._allow_origins(error_response(error, request_id))
                await answer(scope, receive, send_with_headers)
        self._report(scope, headers, status, time.perf_counter() - started)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> ServiceError | None:
        """Runs the app. Returns the error that must be answered, if there is one."""
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return None
        except asyncio.CancelledError:  # the shutdown waits no longer; the result is not known
            return DependencyUnavailable("process")
        except ServiceError as exc:
            return exc
        except HTTPException as exc:
            return error_of_router(exc)
        except Exception:
            log.exception("unhandled", request_id=scope["state"]["request_id"])
            return InternalError()
        return None

    def _report(self, scope: Scope, headers: HeaderValues, status: int, seconds: float) -> None:
        state = scope["state"]
        observed = ObservedRequest(
            method=scope["method"] or None,  # of a request line that is not valid
            route=getattr(scope.get("route"), "path", None),
            status=status,
            code=state.get("error_code"),
            seconds=seconds,
        )
        self._observe(observed)
        log.info(
            "request",
            method=observed.method,
            route=observed.route,
            status=status,
            code=observed.code,
            duration_ms=round(seconds * 1000, 2),
            request_id=state["request_id"],
            **self._known_facts(state, headers),
        )

    def _known_facts(self, state: dict[str, Any], headers: HeaderValues) -> dict[str, str]:
        """The trace of the request and its user, if they are known and wanted."""
        facts = {}
        if trace_id := state.get("trace_id") or _trace_id(headers):
            facts["trace_id"] = trace_id
        if self._pseudonym and "user_id" in state:
            facts["user"] = self._pseudonym(state["user_id"])
        return facts


def _trace_id(headers: HeaderValues) -> str | None:
    """Of the caller's trace, if this process is not traced itself."""
    traceparent = parse_traceparent(headers.get("traceparent", ()))
    return traceparent.split("-")[1] if traceparent else None


def _request_id(headers: HeaderValues) -> str:
    given = headers.get("x-request-id", [""])[0]
    return given if _REQUEST_ID.fullmatch(given) else str(uuid4())
