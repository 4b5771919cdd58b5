# SPDX-License-Identifier: MIT
"""The requirements on a stream, and the stream that the relay creates."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.relay import stream
from service.relay.broker import Broker
from service.relay.errors import BrokerUnavailable, WrongStream
from service.relay.stream import Stream
from tests.nats_server import STREAM, NatsServer
from tests.relay.publishing import a_broker

WANTED = Stream(name=STREAM, replicas=1, duplicate_window=120)


@pytest.fixture
async def connected(broker: NatsServer) -> AsyncIterator[Broker]:
    async with a_broker(broker) as connected:
        yield connected


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "in memory": ({"storage": "memory"}, "its storage is memory"),
    "discards old": ({"discard": "old"}, "it discards old events"),
    "a work queue": ({"retention": "workqueue"}, "its retention is workqueue"),
    "no acknowledgements": ({"no_ack": True}, "it does not acknowledge"),
    "other subjects": ({"subjects": ["training.session.v2.>"]}, "its subjects do not include"),
    "a part of them": ({"subjects": ["training.session.v1.*.*.failed"]}, "its subjects do not"),
    "a short memory": ({"duplicate_window": 60}, "its duplicate window is 60 s"),
}


@pytest.mark.parametrize(("wrong", "complaint"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_stream_is_refused_and_left_as_it_is(
    broker: NatsServer, connected: Broker, wrong: dict[str, Any], complaint: str
) -> None:
    await broker.make_stream(**wrong)
    before = await broker.config()

    with pytest.raises(WrongStream, match=complaint):
        await stream.ensure(connected, WANTED)

    assert await broker.config() == before


async def test_too_few_replicas_are_refused(broker: NatsServer, connected: Broker) -> None:
    await broker.make_stream()
    wanted = Stream(name=STREAM, replicas=3, duplicate_window=120)
    with pytest.raises(WrongStream, match="it has 1 replicas, and must have 3"):
        await stream.require(connected, wanted)


@pytest.mark.parametrize("subjects", ["training.>", "training.*.v1.>", "training.session.v1.*.*.*"])
async def test_accepts_a_stream_with_more_subjects(
    broker: NatsServer, connected: Broker, subjects: str
) -> None:
    await broker.make_stream(subjects=[subjects], no_ack=False)

    await stream.require(connected, WANTED)


async def test_a_missing_stream_is_an_outage(connected: Broker) -> None:
    with pytest.raises(BrokerUnavailable, match="the stream TRAINING_SESSIONS is missing"):
        await stream.require(connected, WANTED)


@pytest.mark.parametrize("allow_atomic", [True, False])
async def test_reports_whether_the_stream_allows_batches(
    broker: NatsServer, connected: Broker, allow_atomic: bool
) -> None:
    await broker.make_stream(allow_atomic=allow_atomic)

    await stream.ensure(connected, WANTED)

    assert connected.is_atomic is allow_atomic


async def test_accepts_the_stream_that_it_creates(broker: NatsServer, connected: Broker) -> None:
    await stream.ensure(connected, WANTED)

    config = await broker.config()
    assert (config.storage, config.discard, config.retention) == ("file", "new", "limits")
    assert (config.duplicate_window, config.subjects) == (120, ["training.session.v1.>"])
    assert connected.is_atomic
