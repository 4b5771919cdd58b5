# SPDX-License-Identifier: MIT
"""Reads the events of training sessions with a durable JetStream consumer.

Acknowledges each message explicitly, after it was handled. docs/consumers.md explains it.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

STREAM = "TRAINING_SESSIONS"
FETCH_SECONDS = 1
"""How long a request for messages waits for the first one; and a stop, for the request."""

RECONNECT_SECONDS = 0.5

log = logging.getLogger("subscription")


class RetryLaterError(Exception):
    """The message cannot be handled now. It is delivered again after `seconds`."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class RejectedError(Exception):
    """The message can never be handled. It stays in the stream, and is not delivered again."""


Handle = Callable[[Msg], Awaitable[None]]
"""Raises RetryLaterError or RejectedError. Any other error ends the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """`durable`: the name under which the broker remembers what was acknowledged.

    Several processes with one name share the messages. `ack_wait`: a message that was not
    acknowledged after so many seconds is delivered again, so it must be longer than handling
    `batch` messages takes.
    """

    nats_url: str
    durable: str
    ack_wait: float
    batch: int

    @property
    def config(self) -> ConsumerConfig:
        """No `max_deliver`: the broker would drop a message without a word when it is reached."""
        return ConsumerConfig(
            durable_name=self.durable,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self.ack_wait,
        )


async def read(subscription: Subscription, handle: Handle) -> None:
    """Handles messages until SIGTERM or SIGINT, and the last one that it has begun."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    reporter = _Reporter()
    async with _connected(subscription.nats_url, reporter) as client:
        while not stop.is_set():
            try:
                await _read_until(stop, client.jetstream(), subscription, handle)
            except NatsError as exc:  # the stream or the consumer is missing, or was deleted
                await reporter.report(exc)
                await asyncio.sleep(RECONNECT_SECONDS)


async def _read_until(
    stop: asyncio.Event, jetstream: JetStreamContext, subscription: Subscription, handle: Handle
) -> None:
    await jetstream.add_consumer(STREAM, subscription.config)
    messages = await jetstream.pull_subscribe_bind(durable=subscription.durable, stream=STREAM)
    try:
        while not stop.is_set():
            for message in await _fetch(messages, subscription.batch):
                await _settle(message, handle)
    finally:
        await messages.unsubscribe()


async def _fetch(messages: JetStreamContext.PullSubscription, batch: int) -> list[Msg]:
    try:
        return await messages.fetch(batch, timeout=FETCH_SECONDS)
    except TimeoutError:  # there was none
        return []


async def _settle(message: Msg, handle: Handle) -> None:
    """Acknowledges last: a crash before it leads to a second delivery, not to a loss."""
    try:
        await handle(message)
    except RetryLaterError as exc:
        log.warning("message %s: %s", message.metadata.sequence.stream, exc)
        await message.nak(delay=exc.seconds)
    except RejectedError as exc:
        log.error("message %s is rejected: %s", message.metadata.sequence.stream, exc)  # noqa: TRY400  the reason is a sentence
        await message.term()
    else:
        await message.ack()


class _Reporter:
    """Logs what keeps the program from reading, once until it changes."""

    def __init__(self) -> None:
        self._last = ""

    async def report(self, exc: Exception) -> None:
        if repr(exc) != self._last:
            log.warning("cannot read from the stream: %r", exc)
        self._last = repr(exc)


@asynccontextmanager
async def _connected(url: str, reporter: _Reporter) -> AsyncIterator[Client]:
    client = await nats.connect(
        url,
        max_reconnect_attempts=-1,  # the default gives up after two minutes
        reconnect_time_wait=RECONNECT_SECONDS,
        error_cb=reporter.report,
    )
    try:
        yield client
    finally:
        if client.is_connected:
            await client.flush()  # sends what was acknowledged last
        await client.close()
