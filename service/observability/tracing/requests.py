# SPDX-License-Identifier: MIT
"""Traces the API: a span for each request, for each group of requests, for each transaction.

A group may serve requests of several traces. Its span belongs to the trace of the first one, and is
linked with the spans of all of them, in both directions.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from opentelemetry.context import attach, detach
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanKind,
    TracerProvider,
    get_current_span,
    set_span_in_context,
)
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.application.group_commit.pending import P, Pending, RunGroup
from service.http.headers import parse_traceparent
from service.observability.tracing.spans import (
    SCOPE,
    format_traceparent,
    mark_failed,
    parent_context,
)

PROBES = ("/livez", "/readyz")
"""Asked every few seconds by machines; they would outnumber the requests of a quiet hour."""

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
"""Those of RFC 9110, and PATCH; any other one is the client's own word."""

SERVER_ERROR = 500
DISCONNECTED = "client_disconnected"

RunTransaction = TypeVar("RunTransaction", bound=Callable[..., Awaitable[Any]])


class RequestTracing:
    """Wraps the parts of the API. Keeps the spans of requests that are under way and recorded."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(SCOPE)
        self._spans: dict[str, Span] = {}

    def trace_requests(self, app: ASGIApp) -> ASGIApp:
        """Goes around all other middleware, so that the log knows the trace."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"].endswith(PROBES):
                await app(scope, receive, send)
            else:
                await self._trace_request(app, scope, receive, send)

        return traced

    def trace_groups(self, run: RunGroup[P], /) -> RunGroup[P]:
        async def traced(group: list[P]) -> list[P]:
            requests = [(each, span) for each in group if (span := self._span_of(each))]
            span = self._start_group(requests, len(group)) if requests else INVALID_SPAN
            # Also without a span: the task was begun by another request, and has its context.
            token = attach(set_span_in_context(span))
            try:
                to_retry = await run(group)
                span.set_attribute("training.group.to_retry", len(to_retry))
                return to_retry
            finally:
                detach(token)
                span.end()

        return traced

    def trace_transactions(self, run: RunTransaction) -> RunTransaction:
        """Within a span that is recorded; the time includes the wait for a connection."""

        async def traced(*arguments: Any) -> Any:
            if not get_current_span().is_recording():
                return await run(*arguments)
            span = self._tracer.start_span(
                "transaction", kind=SpanKind.CLIENT, attributes={"db.system.name": "postgresql"}
            )
            try:
                return await run(*arguments)
            except Exception as exc:
                mark_failed(span, type(exc).__name__)
                raise
            finally:
                span.end()

        return cast("RunTransaction", traced)

    async def _trace_request(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        span = self._start_request(scope)
        traceparent = format_traceparent(span)
        scope.setdefault("state", {}).update(
            traceparent=traceparent, trace_id=traceparent.split("-")[1]
        )
        status: int | None = None

        async def send_and_watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if span.is_recording():
            self._spans[traceparent] = span
        token = attach(set_span_in_context(span))
        try:
            await app(scope, receive, send_and_watch)
        finally:
            detach(token)
            self._spans.pop(traceparent, None)
            _describe(span, scope, status)
            span.end()

    def _start_request(self, scope: Scope) -> Span:
        caller = parse_traceparent(Headers(scope=scope).getlist("traceparent"))
        attributes = {
            "http.request.method": scope["method"] if scope["method"] in METHODS else "_OTHER",
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
        }
        return self._tracer.start_span(
            _name(scope), parent_context(caller), SpanKind.SERVER, attributes
        )

    def _span_of(self, pending: Pending[Any]) -> Span | None:
        return self._spans.get(pending.traceparent) if pending.traceparent else None

    def _start_group(self, requests: list[tuple[P, Span]], size: int) -> Span:
        now = asyncio.get_running_loop().time()
        links = [
            Link(
                span.get_span_context(),
                {"training.wait_seconds": now - each.arrived, "training.retried": each.retried},
            )
            for each, span in requests
        ]
        first = set_span_in_context(requests[0][1])
        group = self._tracer.start_span(
            "group", first, links=links, attributes={"training.group.size": size}
        )
        for _, span in requests:
            span.add_link(group.get_span_context())
        return group


def _name(scope: Scope) -> str:
    """With the template of the route: method and path may hold anything that a client has typed."""
    method = scope["method"] if scope["method"] in METHODS else "HTTP"
    route = _route(scope)
    return f"{method} {route}" if route else method


def _route(scope: Scope) -> str | None:
    return getattr(scope.get("route"), "path", None)


def _describe(span: Span, scope: Scope, status: int | None) -> None:
    if not span.is_recording():
        return
    if route := _route(scope):
        span.set_attribute("http.route", route)
        span.update_name(_name(scope))
    if status is None:
        span.set_attribute("error.type", DISCONNECTED)
        return
    span.set_attribute("http.response.status_code", status)
    code = scope["state"].get("error_code")
    if status >= SERVER_ERROR:
        mark_failed(span, code or str(status))
    elif code:
        span.set_attribute("error.type", code)
