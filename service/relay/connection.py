# SPDX-License-Identifier: MIT
"""The connection to NATS: made to one of several servers, and made again when it is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from service.relay.errors import BrokerUnavailable
from service.relay.link import Link
from service.relay.outages import LOST, SILENT, describe_round, quote
from service.relay.servers import Server
from service.relay.waiting import wait_for

FIRST_ANSWER_SECONDS = 10
RECONNECT_SECONDS = 0.25
CANCEL_SECONDS = 3
"""Longer than a link takes to close."""


class Connection:
    """`seconds`: time limit for an answer."""

    def __init__(self, servers: Sequence[Server], *, seconds: float) -> None:
        self._servers = servers
        self._neighbours: list[Server] = []
        self._ids: dict[tuple[str, int], str] = {}
        self._unresponsive: Server | None = None
        self._seconds = seconds
        self._link: Link | None = None
        self._outage = "there is no connection yet"
        self._connecting: asyncio.Task[None] | None = None
        self._has_tried = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Connects in the background until it succeeds, and again after the connection breaks."""
        self._connecting = connecting = asyncio.create_task(self._stay_connected())
        try:
            yield self
        finally:
            while not connecting.done():  # Python 3.11 and the library may swallow a cancellation
                connecting.cancel()
                await asyncio.wait({connecting}, timeout=CANCEL_SECONDS)

    async def wait_until_connected(self) -> None:
        """Waits until the servers were tried once. Raises BrokerUnavailable."""
        await wait_for(self._has_tried, within=FIRST_ANSWER_SECONDS)
        self.require()

    def require(self) -> Link:
        """Raises BrokerUnavailable with the reason if there is no connection."""
        if self._connecting and self._connecting.done():
            self._connecting.result()  # raises an error that was not expected
        if not (self._link and self._link.is_open):
            raise BrokerUnavailable(self._outage)
        return self._link

    def quote(self, words: str) -> str:
        """Words of a server, for people."""
        return quote(words, [secret for server in self._servers for secret in server.secrets])

    async def _stay_connected(self) -> None:
        while True:
            self._outage = await self._try_servers()
            if not self._unresponsive:
                self._has_tried.set()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _try_servers(self) -> str:
        """Uses the first server that accepts the relay; returns why there is no connection."""
        reasons: dict[Server, str] = {}
        for server in self._in_turn():
            link = Link(server, self._seconds)
            try:
                await link.open()
                self._require_another(server, link)
                return await self._use(server, link)
            except BrokerUnavailable as exc:
                reasons[server] = str(exc)
            finally:
                await link.close()
        self._unresponsive = None
        return describe_round([reasons[server] for server in self._servers])

    def _in_turn(self) -> list[Server]:
        """All servers, in the order of the URLs; the unresponsive one comes last."""
        servers = [*self._servers, *self._neighbours]
        last = self._unresponsive
        place = servers.index(last) + 1 if last in servers else 0
        return servers[place:] + servers[:place]

    def _require_another(self, server: Server, link: Link) -> None:
        """Raises BrokerUnavailable if it is the unresponsive server by another name."""
        self._ids[server.address] = link.server_id
        left = self._unresponsive
        if left and server != left and self._ids.get(left.address) == link.server_id:
            raise BrokerUnavailable(SILENT)

    async def _use(self, server: Server, link: Link) -> str:
        """Returns why the connection was lost. Leaves an unresponsive server for another one."""
        self._link, self._outage = link, LOST
        self._has_tried.set()
        reason = await link.wait_until_lost(may_leave=lambda: self._knows_another(server, link))
        self._unresponsive = None
        if link.is_unresponsive:
            self._unresponsive = server
            self._has_tried.clear()  # what is wrong is known already, and no news
        known = {server.address for server in self._servers}
        self._neighbours = [each for each in link.neighbours if each.address not in known]
        return reason

    def _knows_another(self, server: Server, link: Link) -> bool:
        """A cluster may name the server itself, by another name than the URL does."""
        others = {*self._servers, *link.neighbours} - {server}
        return any(self._ids.get(each.address) != link.server_id for each in others)
