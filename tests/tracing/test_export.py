# SPDX-License-Identifier: MIT
"""The export of spans: what the log says of it, and that it delays no shutdown."""

import logging
import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from service.bootstrap.settings import WrongSettings, load
from service.bootstrap.settings.shared import TracingSettings
from service.bootstrap.tracing import exporting_provider
from service.observability.tracing import export

TOKEN = "knee-token"


class Exporter(SpanExporter):
    """Gives one of these results after another."""

    def __init__(self, *results: SpanExportResult) -> None:
        self._results = list(results)
        self.is_shut_down = False

    def export(self, _spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._results.pop(0)

    def shutdown(self) -> None:
        self.is_shut_down = True


class StuckExporter(SpanExporter):
    def __init__(self) -> None:
        self.release = threading.Event()

    def export(self, _spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.release.wait()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.release.wait()


@pytest.fixture(autouse=True)
def _loggers_as_before() -> None:
    for name in export.TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET)


def traced(**overrides: object) -> TracingSettings:
    return load(TracingSettings, tracing=True, **overrides)


def test_an_outage_of_the_collector_is_logged_once_and_its_end() -> None:
    failed, done = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    inner = Exporter(done, failed, failed, done, done)
    reporting = export.ReportingExporter(inner)

    with capture_logs() as lines:
        results = [reporting.export([]) for _ in range(5)]
    reporting.shutdown()

    assert results == [done, failed, failed, done, done]
    assert [each["event"] for each in lines] == ["spans lost", "spans accepted again"]
    assert inner.is_shut_down


def test_a_stuck_collector_delays_no_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CLOSE_SECONDS", 0.01)
    stuck, provider = StuckExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(stuck))

    export.close(provider)

    assert not stuck.release.is_set()
    stuck.release.set()


async def test_without_a_collector_no_header_reaches_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://gym:{TOKEN}@127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization Bearer {TOKEN}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.01")
    monkeypatch.setattr(export, "CLOSE_SECONDS", 60)
    provider = exporting_provider(traced(), "training-sessions")
    assert provider

    with capture_logs() as lines:
        provider.get_tracer("knee").start_span("knee").end()
        export.close(provider)

    assert [each["event"] for each in lines] == ["spans lost"]
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "training-sessions"),
        ({"OTEL_SERVICE_NAME": "gym"}, "gym"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=gym,region=north"}, "gym"),
    ],
    ids=["default", "name", "attributes"],
)
def test_the_standard_variables_name_the_service(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    provider = exporting_provider(traced(), "training-sessions")

    assert provider
    assert provider.resource.attributes[SERVICE_NAME] == named
    export.close(provider)


def test_a_wrong_variable_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "knee")

    with pytest.raises(WrongSettings, match=r"^A variable OTEL_… is wrong: .*knee.*\.$"):
        exporting_provider(traced(), "training-sessions")
