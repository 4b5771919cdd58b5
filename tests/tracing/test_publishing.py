# SPDX-License-Identifier: MIT
"""The spans of published events, and what a failure tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from service.application.outbox import OutboxEvent
from service.observability.tracing.publishing import TracedPublisher
from service.relay.errors import BrokerUnavailable, EventRefused
from tests.relay.publishing import an_outbox_event
from tests.tracing.spans import (
    CALLER,
    TRACE_ID,
    TRACEPARENT,
    Spans,
    attributes_of,
    parent_of,
    trace_of,
)


@dataclass
class Publisher:
    """Answers as it is told, or raises."""

    answer: bool | Exception = False

    def require_connection(self) -> None:
        pass

    async def publish(self, _event: OutboxEvent) -> bool:
        return self._answer()

    async def publish_atomically(self, _events: Sequence[OutboxEvent]) -> bool:
        return self._answer()

    def _answer(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def an_event(traceparent: str | None = TRACEPARENT) -> OutboxEvent:
    return an_outbox_event(uuid4())._replace(traceparent=traceparent)


@pytest.mark.parametrize("is_duplicate", [False, True])
async def test_an_event_has_a_span_in_the_trace_of_its_request(
    spans: Spans, *, is_duplicate: bool
) -> None:
    event = an_event()

    assert await TracedPublisher(Publisher(is_duplicate), spans.provider).publish(event) is (
        is_duplicate
    )

    [span] = spans.named("publish training.session.v1.*.*.*")
    assert (span.kind, trace_of(span), parent_of(span)) == (SpanKind.PRODUCER, TRACE_ID, CALLER)
    assert attributes_of(span) == {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.template": "training.session.v1.*.*.*",
        "messaging.message.id": str(event.id),
        "messaging.batch.message_count": 1,
        "training.event.type": "session_failed",
    }


async def test_each_event_of_a_batch_has_a_span_in_its_own_trace(spans: Spans) -> None:
    others = f"00-{'a' * 32}-{'b' * 16}-01"
    batch = [an_event(), an_event(others), an_event(None)]

    assert await TracedPublisher(Publisher(answer=True), spans.provider).publish_atomically(batch)

    assert [trace_of(each) for each in spans.named()] == [TRACE_ID, "a" * 32]
    assert {attributes_of(each)["messaging.batch.message_count"] for each in spans.named()} == {3}


async def test_a_batch_that_was_not_stored_has_no_spans(spans: Spans) -> None:
    publisher = TracedPublisher(Publisher(answer=False), spans.provider)

    assert not await publisher.publish_atomically([an_event()])

    assert spans.named() == []


@pytest.mark.parametrize(
    "traceparent", [None, TRACEPARENT[:-2] + "00", "knee", "x" * 8000, TRACEPARENT + "\r\n"]
)
async def test_an_event_that_is_not_traced_has_no_span(
    spans: Spans, traceparent: str | None
) -> None:
    await TracedPublisher(Publisher(), spans.provider).publish(an_event(traceparent))

    assert spans.named() == []


@pytest.mark.parametrize("failure", [EventRefused("knee"), BrokerUnavailable("a login: knee")])
async def test_a_failure_marks_the_span_without_its_message(
    spans: Spans, failure: Exception
) -> None:
    publisher = TracedPublisher(Publisher(failure), spans.provider)

    with pytest.raises(type(failure)):
        await publisher.publish(an_event())
    with pytest.raises(type(failure)):
        await publisher.publish_atomically([an_event()])

    for span in spans.named():
        assert attributes_of(span)["error.type"] == type(failure).__name__
        assert span.status.status_code is StatusCode.ERROR
        assert "knee" not in span.to_json()
    assert len(spans.named()) == 2
