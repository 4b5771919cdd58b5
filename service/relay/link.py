# SPDX-License-Identifier: MIT
"""One connection to one NATS server: opened, used for requests, and not used again when it ends."""

import asyncio
import itertools
import ssl
from collections.abc import Callable
from contextlib import suppress

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from service.relay import outages
from service.relay.client import CONNECT_SECONDS, RelayClient
from service.relay.errors import BrokerUnavailable
from service.relay.hearing import hear_refusal
from service.relay.request import Request
from service.relay.responsiveness import Responsiveness
from service.relay.servers import Server
from service.relay.waiting import wait_for

PING_SECONDS = 2
WATCH_SECONDS = 0.25
CLOSE_SECONDS = 2


class Link:
    """`seconds`: time limit for an answer."""

    def __init__(self, server: Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._client = RelayClient(requires_tls=server.requires_tls)
        self._is_connecting = False
        self._has_connected = False
        self._has_tls_failed = False
        self._is_to_look = asyncio.Event()
        self._denied: str | None = None
        self._inbox = self._client.new_inbox()
        self._numbers = itertools.count()
        self._requests: dict[str, Request] = {}
        self._responsiveness = Responsiveness(seconds)

    @property
    def is_unresponsive(self) -> bool:
        """True if JetStream has not answered through this server within the time limit.

        So it is during a network partition: the server keeps its connections, and answers PING.
        """
        return self._responsiveness.is_unresponsive

    @property
    def is_open(self) -> bool:
        return self._client.is_connected and not self._denied

    @property
    def max_payload(self) -> int:
        return self._client.max_payload

    @property
    def server_id(self) -> str:
        return self._client.server_id

    @property
    def neighbours(self) -> list[Server]:
        """Servers of the cluster, as this one named them; it may be among them by another name."""
        return [
            self._server.neighbour(each.hostname, each.port)
            for each in self._client.discovered_servers
            if each.hostname
            and each.port
            and (each.hostname, each.port) != self._client.own_address
        ]

    async def open(self) -> None:
        """Raises BrokerUnavailable with the reason, which holds no secret."""
        try:
            await self._connect()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._settle)
            await self._client.flush_in_order()
        except Exception as exc:  # noqa: BLE001  another program on the port may send anything
            self._has_tls_failed = isinstance(exc, ssl.SSLError)
            raise BrokerUnavailable(await self._describe(exc)) from None
        if self._denied:
            raise BrokerUnavailable(self._denied)

    async def wait_until_lost(self, *, may_leave: Callable[[], bool]) -> str:
        """Returns the reason. Also ends if the server is unresponsive and may be left."""
        while self.is_open:  # the end of the library's `close` may wait for a stuck broker
            if self.is_unresponsive and may_leave():
                return outages.SILENT
            self._is_to_look.clear()
            await wait_for(self._is_to_look, within=WATCH_SECONDS)
        return self._denied or outages.describe_loss(self._client.last_error, self._server.secrets)

    async def close(self) -> None:
        if self.is_unresponsive and (substitute := self._responsiveness.substitute):
            self._answer_requests(substitute)  # the reason that the log has already
        self._fail_requests(outages.SILENT if self.is_unresponsive else outages.LOST)
        if self._client.is_connecting or self._client.is_connected:
            # A broker that is stuck accepts no bytes. If TLS failed, asyncio has closed the socket,
            # and never tells the library, which waits.
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self._has_tls_failed else CLOSE_SECONDS):
                    await self._client.close()

    def new_reply(self) -> str:
        """A subject for one answer."""
        return f"{self._inbox}.{next(self._numbers)}"

    async def request(self, commands: bytes, reply: str, *, subject: str, permission: str) -> Msg:
        """The answer to the last command, which publishes to `subject`. Raises BrokerUnavailable.

        `permission`: the subjects to which the relay must be allowed to publish, for people.
        Of the library's own ways, `publish` takes twice as long and `publish_async` may hang.
        """
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        began = _now()
        self._requests[reply] = Request(subject, permission, began, answer)
        try:
            await self._client.send(commands)
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            self._responsiveness.note_time_limit(began=began)
            self._is_to_look.set()  # before another request is answered, perhaps by a lone leader
            raise BrokerUnavailable(outages.SILENT) from None
        except (NatsError, OSError) as exc:
            raise BrokerUnavailable(outages.LOST) from exc
        finally:
            del self._requests[reply]

    async def _connect(self) -> None:
        self._is_connecting = True
        try:
            await self._client.connect(
                [self._server.bare_url],
                name="training-sessions relay",
                allow_reconnect=False,
                pending_size=0,  # else messages that timed out would be sent after an outage
                connect_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                closed_cb=self._on_closed,
                tls_hostname=self._server.certified_host,
                user=self._server.user,
                password=self._server.password,
                token=self._server.token,
            )
            self._has_connected = True
        finally:
            self._is_connecting = False

    async def _describe(self, exc: Exception) -> str:
        has_greeted, secrets = self._client.has_greeted, self._server.secrets
        if self._has_connected and not self._client.is_connected:
            return outages.describe_loss(self._client.last_error, secrets)
        if self._client.wants_certificate and outages.is_cut_off(exc):
            return outages.NO_CERTIFICATE
        if isinstance(exc, TimeoutError) and self._client.is_connecting:
            return outages.SILENT if has_greeted else outages.NOT_NATS
        if isinstance(exc, ConnectionError) and has_greeted:
            words = await hear_refusal(*self._server.address)
            return outages.describe_refusal(words, secrets) if words else outages.ENDS
        return outages.describe_failure(exc, has_greeted=has_greeted, secrets=secrets)

    async def _on_error(self, exc: Exception) -> None:
        if self._is_connecting:
            raise exc  # else the library would try again for ever, and name no reason
        if denied := outages.find_denied(str(exc)):
            self._deny(denied)

    def _deny(self, denied: outages.Denied) -> None:
        if denied.verb == "subscription":
            self._denied = outages.describe_denial(denied.verb, "_INBOX.>")
            self._fail_requests(self._denied)
            return
        pending = list(self._requests.values())
        concerned = [each for each in pending if each.subject.lower() == denied.subject]
        for request in concerned or pending:
            request.fail(outages.describe_denial(denied.verb, request.permission))

    async def _on_disconnected(self) -> None:
        self._fail_requests(outages.LOST)

    async def _on_closed(self) -> None:
        self._is_to_look.set()

    def _fail_requests(self, reason: str) -> None:
        for request in self._requests.values():
            request.fail(reason)

    def _answer_requests(self, answer: Msg) -> None:
        for request in self._requests.values():
            request.settle(answer)

    async def _settle(self, answer: Msg) -> None:
        """Counts a late answer, too: the server is slow, but JetStream answers through it."""
        now, request = _now(), self._requests.get(answer.subject)
        self._responsiveness.note_answer(answer, began=request.began if request else now, now=now)
        if request:
            request.settle(answer)


def _now() -> float:
    return asyncio.get_running_loop().time()
