# SPDX-License-Identifier: MIT
"""What all spans have in common: the form of their context on the wire, and how they fail."""

from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SCOPE = "training-sessions"
"""The instrumentation scope of every span."""

_PROPAGATOR = TraceContextTextMapPropagator()


def parent_context(traceparent: str | None) -> Context:
    """The context of the span that it names; else an empty one, in which a new trace begins."""
    return _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else Context()


def format_traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def mark_failed(span: Span, reason: str) -> None:
    """`reason`: a code or the name of a class. Messages may hold texts of users or a login."""
    span.set_attribute("error.type", reason)
    span.set_status(StatusCode.ERROR)
