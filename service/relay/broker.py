"""The connection to NATS JetStream, and the acknowledgement of each message."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext

from service.application.outbox import OutboxEvent
from service.relay.errors import BrokerUnavailable, EventRefused
from service.relay.messages import Message, build_message
from service.relay.waiting import wait_for

CONNECT_SECONDS = 2
FIRST_CONNECTION_SECONDS = 1
RECONNECT_SECONDS = 0.25
PING_SECONDS = 2
CLOSE_SECONDS = 2

_EXPECT_NO_MESSAGE = "Nats-Expected-Last-Subject-Sequence: 0\r\n"
"""Stores a message only if its subject has none, so that a late duplicate is refused too."""

_WRONG_LAST_SEQUENCE = 10071
_MESSAGE_TOO_LARGE = 10054
_NO_RESPONDERS = "503"


class _Client(Client):
    async def send(self, commands: bytes) -> None:
        """Faster than the library's `publish`, which checks every character of the headers."""
        if not self.is_connected:
            raise ConnectionClosedError
        await self._send_command(commands)
        await self._flush_pending()


class Broker:
    """Publishes events. `timeout`: seconds to wait for an acknowledgement.

    `with_ids`: False for a replay, because a broker remembers ids of messages that a purge removed.
    `is_atomic`: the stream is known to accept atomic batches.
    """

    def __init__(self, *, stream: str, source: str, timeout: float, with_ids: bool = True) -> None:
        self.is_atomic = False
        self._stream = stream
        self._source = source
        self._timeout = timeout
        self._with_ids = with_ids
        self._client = _Client()
        self._inbox = ""
        self._has_connected = asyncio.Event()
        self._numbers = itertools.count()
        self._requests: dict[str, asyncio.Future[Msg | None]] = {}

    async def jetstream(self) -> JetStreamContext:
        """For the administration of the stream. Raises BrokerUnavailable."""
        await wait_for(self._has_connected, within=FIRST_CONNECTION_SECONDS)
        self._require_connection()
        return self._client.jetstream(timeout=self._timeout)

    @asynccontextmanager
    async def connected(self, urls: Sequence[str]) -> AsyncIterator[None]:
        """Connects in the background until it succeeds, and again after the connection breaks."""
        connecting = asyncio.create_task(self._stay_connected(urls))
        try:
            yield
        finally:
            connecting.cancel()
            await asyncio.wait({connecting})
            with suppress(TimeoutError):  # a broker that is stuck accepts no bytes
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._client.close()

    async def publish(self, event: OutboxEvent) -> bool:
        """True if the stream had the event already. Raises BrokerUnavailable, EventRefused."""
        self._require_connection()
        sent = self._message(event)
        if not self._fits(sent):
            raise EventRefused(f"it has {sent.size} bytes, more than the broker accepts")
        reply = self._reply()
        return self._is_duplicate(await self._request(sent.publish_command(reply=reply), reply))

    async def publish_atomically(self, events: Sequence[OutboxEvent]) -> bool:
        """True if the stream stored all events in this order; else it stored none.

        It stores none if it has one of them, refuses one, or accepts no atomic batches.
        Raises BrokerUnavailable.
        """
        self._require_connection()
        if not self.is_atomic:
            return False
        batch, reply = uuid4().hex, self._reply()
        commands = []
        for number, event in enumerate(events, start=1):
            is_last = number == len(events)
            sent = self._message(event, _batch_headers(batch, number, is_last=is_last))
            if not self._fits(sent):
                return False
            commands.append(sent.publish_command(reply=reply if is_last else ""))
        ack = _parse_ack(await self._request(b"".join(commands), reply), self._stream)
        # A server without atomic batches acknowledges the last message alone.
        return (ack.get("batch"), ack.get("count")) == (batch, len(events))

    async def _stay_connected(self, urls: Sequence[str]) -> None:
        """Reconnects after an error of the protocol, after which the library gives up for good."""
        while True:
            closed = asyncio.Event()
            with suppress(NatsError, OSError):
                await self._connect(urls, closed)
                await closed.wait()
            self._has_connected.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _connect(self, urls: Sequence[str], closed: asyncio.Event) -> None:
        async def on_closed() -> None:
            closed.set()

        self._client = _Client()
        await self._client.connect(
            list(urls),
            name="training-sessions relay",
            pending_size=0,  # else messages that timed out would be sent after an outage
            max_reconnect_attempts=-1,
            connect_timeout=CONNECT_SECONDS,
            reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # any number will do
            ping_interval=PING_SECONDS,
            error_cb=_ignore,
            disconnected_cb=self._cancel_requests,
            closed_cb=on_closed,
        )
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._settle_request)
        self._has_connected.set()

    def _message(self, event: OutboxEvent, batch_headers: str = "") -> Message:
        id_header = f"Nats-Msg-Id: {event.id!s}\r\n" if self._with_ids else ""
        return build_message(event, self._source, f"{_EXPECT_NO_MESSAGE}{id_header}{batch_headers}")

    def _fits(self, sent: Message) -> bool:
        return sent.size <= self._client.max_payload

    def _require_connection(self) -> None:
        if not (self._has_connected.is_set() and self._client.is_connected):
            raise BrokerUnavailable("there is no connection")

    def _reply(self) -> str:
        """The subject of one answer."""
        return f"{self._inbox}.{next(self._numbers)}"

    async def _request(self, commands: bytes, reply: str) -> Msg:
        """The answer to the last command.

        Of the library's own ways, `publish` takes twice as long and `publish_async` may hang.
        """
        answer: asyncio.Future[Msg | None] = asyncio.get_running_loop().create_future()
        self._requests[reply] = answer
        try:
            await self._client.send(commands)
            async with asyncio.timeout(self._timeout):
                found = await answer
        except TimeoutError:
            raise BrokerUnavailable("it does not answer") from None
        except (NatsError, OSError) as exc:
            raise BrokerUnavailable("the connection is lost") from exc
        finally:
            del self._requests[reply]
        if found is None:
            raise BrokerUnavailable("the connection is lost")
        return found

    async def _settle_request(self, answer: Msg) -> None:
        request = self._requests.get(answer.subject)
        if request and not request.done():
            request.set_result(answer)

    async def _cancel_requests(self) -> None:
        for request in self._requests.values():
            if not request.done():
                request.set_result(None)

    def _is_duplicate(self, answer: Msg) -> bool:
        ack = _parse_ack(answer, self._stream)
        error = ack.get("error")
        if error is None:
            return bool(ack.get("duplicate"))
        if error.get("err_code") == _WRONG_LAST_SEQUENCE:
            return True
        if error.get("err_code") == _MESSAGE_TOO_LARGE:
            raise EventRefused("it is larger than the stream allows")
        raise BrokerUnavailable(f"it refuses: {error.get('description')}")


def _parse_ack(answer: Msg, stream: str) -> dict[str, Any]:
    """Raises BrokerUnavailable if it is no answer of this stream."""
    if answer.headers and answer.headers.get("Status") == _NO_RESPONDERS:
        raise BrokerUnavailable(f"the stream {stream} is missing")
    ack: dict[str, Any] = json.loads(answer.data)
    if "error" not in ack and ack.get("stream") != stream:
        raise BrokerUnavailable(f"{ack.get('stream')} stored the event, not {stream}")
    return ack


def _batch_headers(batch: str, number: int, *, is_last: bool) -> str:
    commit = "Nats-Batch-Commit: 1\r\n" if is_last else ""
    return f"Nats-Batch-Id: {batch}\r\nNats-Batch-Sequence: {number}\r\n{commit}"


async def _ignore(_exc: Exception) -> None:
    """The next publish meets the error again."""
