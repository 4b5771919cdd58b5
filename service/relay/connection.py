"""The connection to NATS: kept open, and used to send commands that are answered."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError

from service.relay.errors import BrokerUnavailable
from service.relay.waiting import wait_for

CONNECT_SECONDS = 2
FIRST_CONNECTION_SECONDS = 1
RECONNECT_SECONDS = 0.25
PING_SECONDS = 2
CLOSE_SECONDS = 2


class _Client(Client):
    async def send(self, commands: bytes) -> None:
        """Faster than the library's `publish`, which checks every character of the headers."""
        if not self.is_connected:
            raise ConnectionClosedError
        await self._send_command(commands)
        await self._flush_pending()


class Connection:
    """`timeout`: seconds to wait for an answer."""

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._client = _Client()
        self._inbox = ""
        self._has_connected = asyncio.Event()
        self._numbers = itertools.count()
        self._requests: dict[str, asyncio.Future[Msg | None]] = {}

    @asynccontextmanager
    async def open(self, urls: Sequence[str]) -> AsyncIterator[Self]:
        """Connects in the background until it succeeds, and again after the connection breaks."""
        connecting = asyncio.create_task(self._stay_connected(urls))
        try:
            yield self
        finally:
            await _cancelled(connecting)
            with suppress(TimeoutError):  # a broker that is stuck accepts no bytes
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._client.close()

    async def wait_until_connected(self) -> None:
        """Waits only for the first connection. Raises BrokerUnavailable."""
        await wait_for(self._has_connected, within=FIRST_CONNECTION_SECONDS)
        self.require()

    def require(self) -> None:
        """Raises BrokerUnavailable if there is no connection."""
        if not (self._has_connected.is_set() and self._client.is_connected):
            raise BrokerUnavailable("there is no connection")

    @property
    def max_payload(self) -> int:
        return self._client.max_payload

    def new_reply(self) -> str:
        """A subject for one answer."""
        return f"{self._inbox}.{next(self._numbers)}"

    async def request(self, commands: bytes, reply: str) -> Msg:
        """The answer to the last command. Raises BrokerUnavailable.

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

    async def _settle_request(self, answer: Msg) -> None:
        request = self._requests.get(answer.subject)
        if request and not request.done():
            request.set_result(answer)

    async def _cancel_requests(self) -> None:
        for request in self._requests.values():
            if not request.done():
                request.set_result(None)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Repeats the cancellation, which `asyncio.wait_for` of Python 3.11 may swallow."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=RECONNECT_SECONDS)


async def _ignore(_exc: Exception) -> None:
    """The next request meets the error again."""
