# SPDX-License-Identifier: MIT
"""Exports spans by OTLP over HTTP, as the standard variables OTEL_… of OpenTelemetry say."""

import logging
from collections.abc import Sequence
from threading import Thread

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

CLOSE_SECONDS = 2.0
"""Time limit for the last spans at shutdown; a collector that is away must not delay it."""

TALKATIVE = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.util.re")
"""They log the URL of each failed attempt, and headers that they cannot read: logins, tokens."""

log = structlog.get_logger("service.tracing")


def exporting_provider(service_name: str) -> TracerProvider:
    """`service_name`: unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES name another one.

    Raises ValueError if a variable is wrong.
    """
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    resource = Resource.create({SERVICE_NAME: service_name})
    provider = TracerProvider(
        resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(ReportingExporter(OTLPSpanExporter())))
    return provider


def close(provider: TracerProvider) -> None:
    """Exports what is left. Blocks."""
    thread = Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(CLOSE_SECONDS)


class ReportingExporter(SpanExporter):
    """Logs when spans begin to be lost, and when that is over, each once."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            log.warning("spans lost", reason="the collector does not accept them")
        elif self._is_failing and not is_failing:
            log.info("spans accepted again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
