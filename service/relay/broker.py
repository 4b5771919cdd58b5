"""The connection to NATS JetStream, and the stream's word on each message."""

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
from service.relay.messages import Message, message
from service.relay.waiting import happens

CONNECT_SECONDS = 2
FIRST_CONNECTION_SECONDS = 1
RECONNECT_SECONDS = 0.25
PING_SECONDS = 2
CLOSE_SECONDS = 2

_ONCE = "Nats-Expected-Last-Subject-Sequence: 0\r\n"
"""Stores a message only where its subject has none: a double is refused however late it comes."""

_IS_THERE = 10071  # wrong last sequence
_TOO_LARGE = 10054  # message size exceeds maximum allowed
_NO_RESPONDERS = "503"


class _Client(Client):
    async def send(self, commands: bytes) -> None:
        """The library's `publish` takes four times as long, to look at each header's letters."""
        if not self.is_connected:
            raise ConnectionClosedError
        await self._send_command(commands)
        await self._flush_pending()


class Broker:
    """Publishes events; `timeout` is how long to wait for an acknowledgement, in seconds.

    `with_ids`: not for history, since a broker knows ids of messages that it has lost by a purge.
    `takes_batches`: whether the stream does, as far as is known.
    """

    def __init__(self, *, stream: str, source: str, timeout: float, with_ids: bool = True) -> None:
        self.takes_batches = False
        self._stream = stream
        self._source = source
        self._timeout = timeout
        self._with_ids = with_ids
        self._client = _Client()
        self._inbox = ""
        self._has_connected = asyncio.Event()
        self._numbers = itertools.count()
        self._awaited: dict[str, asyncio.Future[Msg | None]] = {}

    async def jetstream(self) -> JetStreamContext:
        """For the stream's administration. Raises BrokerUnavailable."""
        await happens(self._has_connected, within=FIRST_CONNECTION_SECONDS)
        self._require_connection()
        return self._client.jetstream(timeout=self._timeout)

    @asynccontextmanager
    async def connected(self, urls: Sequence[str]) -> AsyncIterator[None]:
        """Connects meanwhile, for as long as it takes, and again when the connection breaks."""
        connecting = asyncio.create_task(self._stay_connected(urls))
        try:
            yield
        finally:
            connecting.cancel()
            await asyncio.wait({connecting})
            with suppress(TimeoutError):  # a broker that is stuck does not take the last bytes
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._client.close()

    async def publish(self, event: OutboxEvent) -> bool:
        """Whether the stream had the event already. Raises BrokerUnavailable and EventRefused."""
        self._require_connection()
        sent = self._message(event)
        if not self._fits(sent):
            raise EventRefused(f"it has {sent.size} bytes, and the broker takes fewer")
        reply = self._reply()
        return self._was_there(await self._answer_to(sent.published(reply=reply), reply))

    async def publish_together(self, events: Sequence[OutboxEvent]) -> bool:
        """Whether the stream stored all of them, in this order. Raises BrokerUnavailable.

        It stores all or none: it has one of them, finds fault with one, or takes no batches.
        """
        self._require_connection()
        if not self.takes_batches:
            return False
        batch, reply = uuid4().hex, self._reply()
        commands = []
        for number, event in enumerate(events, start=1):
            is_last = number == len(events)
            sent = self._message(event, _place(batch, number, is_last=is_last))
            if not self._fits(sent):
                return False
            commands.append(sent.published(reply=reply if is_last else ""))
        answer = await self._answer_to(b"".join(commands), reply)
        return self._took_all(answer, batch, len(events))

    async def _stay_connected(self, urls: Sequence[str]) -> None:
        """The library closes a connection for good when the server finds fault with it."""
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
            pending_size=0,  # or messages that were given up would be sent after an outage
            max_reconnect_attempts=-1,
            connect_timeout=CONNECT_SECONDS,
            reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # any number will do
            ping_interval=PING_SECONDS,
            error_cb=_ignore,
            disconnected_cb=self._give_up_waiting,
            closed_cb=on_closed,
        )
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._answer)
        self._has_connected.set()

    def _message(self, event: OutboxEvent, place: str = "") -> Message:
        named = f"Nats-Msg-Id: {event.id!s}\r\n" if self._with_ids else ""
        return message(event, self._source, f"{_ONCE}{named}{place}")

    def _fits(self, sent: Message) -> bool:
        return sent.size <= self._client.max_payload

    def _require_connection(self) -> None:
        if not (self._has_connected.is_set() and self._client.is_connected):
            raise BrokerUnavailable("there is no connection")

    def _reply(self) -> str:
        """A subject for one answer."""
        return f"{self._inbox}.{next(self._numbers)}"

    async def _answer_to(self, commands: bytes, reply: str) -> Msg:
        """To the last of them.

        Not by the library's own ways: one takes twice as long, one may wait for ever.
        """
        answer: asyncio.Future[Msg | None] = asyncio.get_running_loop().create_future()
        self._awaited[reply] = answer
        try:
            await self._client.send(commands)
            async with asyncio.timeout(self._timeout):
                found = await answer
        except TimeoutError:
            raise BrokerUnavailable("it does not answer") from None
        except (NatsError, OSError) as exc:
            raise BrokerUnavailable("the connection is lost") from exc
        finally:
            del self._awaited[reply]
        if found is None:
            raise BrokerUnavailable("the connection is lost")
        return found

    async def _answer(self, answer: Msg) -> None:
        awaited = self._awaited.get(answer.subject)
        if awaited and not awaited.done():
            awaited.set_result(answer)

    async def _give_up_waiting(self) -> None:
        for awaited in self._awaited.values():
            if not awaited.done():
                awaited.set_result(None)

    def _was_there(self, answer: Msg) -> bool:
        word = self._word(answer)
        error = word.get("error")
        if error is None:
            return bool(word.get("duplicate"))
        if error.get("err_code") == _IS_THERE:
            return True
        if error.get("err_code") == _TOO_LARGE:
            raise EventRefused("it is larger than the stream's messages may be")
        raise BrokerUnavailable(f"it refuses: {error.get('description')}")

    def _took_all(self, answer: Msg, batch: str, count: int) -> bool:
        """A server that knows no batches acknowledges the last message alone."""
        word = self._word(answer)
        return (word.get("batch"), word.get("count")) == (batch, count)

    def _word(self, answer: Msg) -> dict[str, Any]:
        if answer.headers and answer.headers.get("Status") == _NO_RESPONDERS:
            raise BrokerUnavailable(f"the stream {self._stream} is missing")
        word: dict[str, Any] = json.loads(answer.data)
        if "error" not in word and word.get("stream") != self._stream:
            raise BrokerUnavailable(f"{word.get('stream')} took it, not {self._stream}")
        return word


def _place(batch: str, number: int, *, is_last: bool) -> str:
    commit = "Nats-Batch-Commit: 1\r\n" if is_last else ""
    return f"Nats-Batch-Id: {batch}\r\nNats-Batch-Sequence: {number}\r\n{commit}"


async def _ignore(_exc: Exception) -> None:
    """What matters of it is met again where something is published."""
