# SPDX-License-Identifier: MIT
"""Traces the relay: a span for each event that it publishes, in the trace of the event."""

from collections.abc import Sequence
from time import time_ns

from opentelemetry.trace import SpanKind, TracerProvider

from service.application.outbox import OutboxEvent
from service.observability.tracing.spans import SCOPE, mark_failed, parent_context
from service.relay.messages import SUBJECT
from service.relay.relay import ConnectedPublisher

NAME = f"publish {SUBJECT}"


class TracedPublisher:
    """Makes the spans afterwards, because the message does not depend on them.

    Its `ce-traceparent` is that of the event, so that a replay sends the same message again.
    """

    def __init__(self, publisher: ConnectedPublisher, provider: TracerProvider) -> None:
        self._publisher = publisher
        self._tracer = provider.get_tracer(SCOPE)
        self.require_connection = publisher.require_connection

    async def publish(self, event: OutboxEvent) -> bool:
        """Makes a span also for an event that the stream had already."""
        started = time_ns()
        try:
            is_duplicate = await self._publisher.publish(event)
        except Exception as exc:
            self._record([event], started, failure=type(exc).__name__)
            raise
        self._record([event], started)
        return is_duplicate

    async def publish_atomically(self, events: Sequence[OutboxEvent]) -> bool:
        """Makes no spans if the stream stored none: the events are then published one by one."""
        started = time_ns()
        try:
            is_stored = await self._publisher.publish_atomically(events)
        except Exception as exc:
            self._record(events, started, failure=type(exc).__name__)
            raise
        if is_stored:
            self._record(events, started)
        return is_stored

    def _record(
        self, events: Sequence[OutboxEvent], started: int, *, failure: str | None = None
    ) -> None:
        for event in events:
            parent = parent_context(event.traceparent)
            if not parent:  # the event belongs to no trace
                continue
            span = self._tracer.start_span(
                NAME, parent, SpanKind.PRODUCER, _attributes(event, len(events)), start_time=started
            )
            if failure:
                mark_failed(span, failure)
            span.end()


def _attributes(event: OutboxEvent, count: int) -> dict[str, str | int]:
    return {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.template": SUBJECT,
        "messaging.message.id": str(event.id),
        "messaging.batch.message_count": count,
        "training.event.type": event.type,
    }
