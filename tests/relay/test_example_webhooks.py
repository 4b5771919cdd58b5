# SPDX-License-Identifier: MIT
"""The example that posts events to a webhook: signature, retries, refusals."""

import asyncio
import json
import re
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest

from tests.documents.blocks import block
from tests.documents.http import parse
from tests.nats_server import NatsServer
from tests.relay.conftest import Relay
from tests.relay.queue import an_event
from tests.running import TestDatabase, eventually
from tests.system.processes import Process, started

WEBHOOKS = (sys.executable, "docs/examples/webhooks.py")
SECRET = "whsec_" + b64encode(b"a secret of the gym").decode()


@dataclass
class Post:
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class Receiver:
    """Answers with the first of `answers`, and then always with 204. A 0 closes the connection."""

    answers: list[int] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    url: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = dict(re.split(": *", line.lower(), maxsplit=1) for line in head)
        body = await reader.readexactly(int(headers["content-length"]))
        originals = dict(re.split(": *", line, maxsplit=1) for line in head)
        self.posts.append(Post({name.lower(): originals[name] for name in originals}, body))
        status = self.answers.pop(0) if self.answers else 204
        if status:
            phrase = HTTPStatus(status).phrase
            writer.write(f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\n\r\n".encode())
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
    async with server:
        yield receiver


StartWebhooks = Callable[[], AbstractAsyncContextManager[Process]]


@pytest.fixture
def webhooks(stream: NatsServer, receiver: Receiver) -> StartWebhooks:
    environment = {
        "CONSUMER_NATS_URL": stream.url,
        "CONSUMER_RETRY_SECONDS": "0.001",
        "WEBHOOK_URL": receiver.url,
        "WEBHOOK_SECRET": SECRET,
    }
    return lambda: started(command=WEBHOOKS, environment=environment)


@pytest.fixture
async def event_id(database: TestDatabase, stream: NatsServer, relay: Relay) -> UUID:
    """An event in the stream."""
    event_id = await an_event(database, await database.a_session(), 1)
    await relay()
    return event_id


def documented_verify() -> Callable[[dict[str, str], bytes, str], bool]:
    """The function that the documentation gives to receivers."""
    names: dict[str, Any] = {}
    exec(block("docs/consumers.md", "import hmac"), names)  # noqa: S102  it is a part of this repository
    verify: Callable[[dict[str, str], bytes, str], bool] = names["verify"]
    return verify


def _fields(event: dict[str, Any]) -> list[str]:
    return [*event, *event["data"]]


async def test_posts_an_event_that_the_documented_receiver_verifies(
    stream: NatsServer, receiver: Receiver, webhooks: StartWebhooks, event_id: UUID
) -> None:
    async with webhooks() as process:
        await eventually(lambda: stream.has_acknowledged("webhooks"))
        process.signal(signal.SIGTERM)
        assert await process.end() == 0, process.output

    [post] = receiver.posts
    assert post.headers["content-type"] == "application/cloudevents+json"
    assert post.event["id"] == post.headers["webhook-id"] == str(event_id)
    assert post.event["type"] == "training.session.v1.failed"
    assert post.event["data"]["reason"] == "shoulder pain"
    shown = parse(block("docs/consumers.md", "POST /events"))
    assert shown.headers.keys() - {"traceparent"} <= post.headers.keys()
    assert set(_fields(shown.body)) - {"traceparent"} == set(_fields(post.event))
    verify = documented_verify()
    assert verify(post.headers, post.body, SECRET)
    assert not verify(post.headers, post.body + b" ", SECRET)
    assert not verify(post.headers | {"webhook-id": "knee"}, post.body, SECRET)
    assert not verify(post.headers | {"webhook-timestamp": "1"}, post.body, SECRET)
    assert not verify(post.headers, post.body, "whsec_a25lZQ==")


@pytest.mark.parametrize(
    "answer", [0, 500, 503, 429, 302, 404], ids=lambda status: str(status or "none")
)
async def test_posts_again_until_the_receiver_takes_the_event(
    stream: NatsServer,
    receiver: Receiver,
    webhooks: StartWebhooks,
    event_id: UUID,
    answer: int,
) -> None:
    receiver.answers = [answer]

    async with webhooks():
        await eventually(lambda: stream.has_acknowledged("webhooks"))

    assert [post.headers["webhook-id"] for post in receiver.posts] == [str(event_id)] * 2
    assert receiver.posts[0].body == receiver.posts[1].body


async def test_does_not_post_again_what_the_receiver_does_not_want(
    stream: NatsServer, receiver: Receiver, webhooks: StartWebhooks, event_id: UUID
) -> None:
    receiver.answers = [410]

    async with webhooks() as process:
        await process.line("message 1 is rejected: the receiver answers 410")
        await eventually(lambda: stream.has_acknowledged("webhooks"))

    assert len(receiver.posts) == 1


async def test_posts_the_trace_of_an_event_in_its_body_and_in_a_header(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    receiver: Receiver,
    webhooks: StartWebhooks,
) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for version, each in ((1, traceparent), (2, None)):
        event_id = await an_event(database, await database.a_session(), version)
        await database.execute("UPDATE events SET traceparent = $2 WHERE id = $1", event_id, each)
    await relay()

    async with webhooks():
        await eventually(lambda: stream.has_acknowledged("webhooks"))

    for post, given in zip(receiver.posts, (traceparent, None), strict=True):
        assert post.event.get("traceparent") == post.headers.get("traceparent") == given


async def test_rejects_a_message_that_is_no_event(
    stream: NatsServer, receiver: Receiver, webhooks: StartWebhooks
) -> None:
    await stream.publish("training.session.v1.gym.3.failed", b"a knee that hurts")

    async with webhooks() as process:
        await process.line("message 1 is rejected: it is not an event")

    assert receiver.posts == []
