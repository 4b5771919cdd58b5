# SPDX-License-Identifier: MIT
"""Continues the trace of each event: a span for its processing, with OpenTelemetry.

Needs the packages `opentelemetry-sdk` and `opentelemetry-exporter-otlp-proto-http`, which the
standard variables OTEL_… configure. docs/tracing.md shows the whole trace.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from nats.aio.msg import Msg
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from subscription import Handle

SUBJECT = "training.session.v1.*.*.*"


@contextmanager
def exporting() -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider
    finally:
        provider.shutdown()  # exports what is left


def traced(handle: Handle, provider: TracerProvider) -> Handle:
    """Handles messages as `handle` does, each in a span."""
    tracer = provider.get_tracer("training-sessions-consumer")

    async def handle_in_span(message: Msg) -> None:
        headers = message.headers or {}
        with tracer.start_as_current_span(
            f"process {SUBJECT}",
            _context(headers),
            SpanKind.CONSUMER,
            attributes={
                "messaging.system": "nats",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.template": SUBJECT,
                "messaging.message.id": headers.get("ce-id", ""),
            },
            record_exception=False,  # its message may hold the data of the event
            set_status_on_exception=False,
        ) as span:
            try:
                await handle(message)
            except Exception as exc:
                span.set_attribute("error.type", type(exc).__name__)
                span.set_status(StatusCode.ERROR)
                raise

    return handle_in_span


def _context(headers: dict[str, str]) -> Context:
    """Of the request that led to the event; empty if `ce-traceparent` is missing or not valid."""
    carrier = {"traceparent": headers.get("ce-traceparent", "")}
    return TraceContextTextMapPropagator().extract(carrier)
