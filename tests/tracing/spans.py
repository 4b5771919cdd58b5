# SPDX-License-Identifier: MIT
"""Spans kept in memory, and what tests ask of them."""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, SamplingResult
from opentelemetry.trace import SpanContext, SpanKind

from tests.running import eventually

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{CALLER}-01"


class _CountingSampler(ParentBased):
    """Samples as by default, and counts the requests that have begun."""

    def __init__(self) -> None:
        super().__init__(ALWAYS_ON)
        self.requests = 0

    def should_sample(self, *arguments: Any, **options: Any) -> SamplingResult:
        self.requests += SpanKind.SERVER in arguments
        return super().should_sample(*arguments, **options)


class Spans:
    """A provider of tracers, and the spans that they have ended."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self._sampler = _CountingSampler()
        self.provider = TracerProvider(self._sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))

    def named(self, start: str = "") -> list[ReadableSpan]:
        """In the order in which they began."""
        found = [each for each in self._memory.get_finished_spans() if each.name.startswith(start)]
        return sorted(found, key=lambda each: each.start_time or 0)

    async def begun(self, requests: int) -> None:
        """Waits for so many, which then have a slot or wait for one: they have no body."""

        async def are_there() -> bool:
            return self._sampler.requests >= requests

        await eventually(are_there)

    async def ended(self, start: str, count: int = 1) -> list[ReadableSpan]:
        """Waits for so many: a client has its answer before the spans of its request end."""

        async def are_there() -> bool:
            return len(self.named(start)) >= count

        await eventually(are_there)
        found = self.named(start)
        assert len(found) == count
        return found


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context
    return context


def id_of(span: ReadableSpan) -> str:
    return f"{context_of(span).span_id:016x}"


def trace_of(span: ReadableSpan) -> str:
    return f"{context_of(span).trace_id:032x}"


def parent_of(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent else None


def links_of(span: ReadableSpan) -> list[str]:
    """The ids of the spans that it is linked with."""
    return [f"{link.context.span_id:016x}" for link in span.links]


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
