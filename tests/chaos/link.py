# SPDX-License-Identifier: MIT
"""A TCP proxy between two parts, which delays, loses, stops and cuts what passes through it.

It copies messages from protocol to protocol, because everything that the parts say goes through it.
A message that is lost is sent again by TCP: the receiver sees a pause, and later messages wait.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import cast

from tests.chaos.weather import Place, Way, Weather, reset
from tests.group_commit.proxy import BEGIN, COMMIT, Cut

MARKS = (BEGIN, b"DELETE FROM outbox")
"""Of connections whose COMMITs are those of groups, or of a relay's turns.

A new connection has others before, to set up its types. PostgreSQL gets the text of a statement
once per connection.
"""


class Link:
    """Listens at `place`, and connects each client to `target`."""

    def __init__(self, name: str, target: Place, random: Random) -> None:
        self.name = name
        self.target = target
        self.random = random
        self.weather = Weather()
        self.cuts: deque[Cut] = deque()
        self.connections: set[Connection] = set()
        self.place: Place = ("", 0)

    def change(self, **weather: object) -> None:
        """Without arguments: as on a fine day. What was stopped goes on."""
        self.weather = Weather(**weather)  # type: ignore[arg-type]  # by keyword
        if self.weather.closed:
            self.cut()
        for each in list(self.connections):
            each.go_on()

    def cut(self) -> None:
        """Resets every connection."""
        for each in list(self.connections):
            each.abort()

    def vanish(self) -> None:
        """Each connection stays open at both ends, and nothing arrives any more on it."""
        for each in self.connections:
            each.has_vanished = True


class Pipe:
    """One direction of a connection: messages in order, each not before its time; None ends it."""

    def __init__(self, connection: "Connection", way: Way) -> None:
        self._connection = connection
        self._way = way
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.out: asyncio.Transport | None = None

    def feed(self, data: bytes | None) -> None:
        link, loop = self._connection.link, asyncio.get_running_loop()
        if self.out and not self._waiting and link.weather.is_calm:
            self._write(data)
            return
        due = loop.time() + link.weather.pause(link.random)
        if self._waiting:
            due = max(due, self._waiting[-1][0])
        self._waiting.append((due, data))
        self.pump()

    def pump(self) -> None:
        """Sends on what is due."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        loop, stopped = asyncio.get_running_loop(), self._connection.link.weather.stopped
        while self.out and self._waiting and self._way not in stopped:
            due, data = self._waiting[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self.pump)
                return
            self._waiting.popleft()
            self._write(data)

    def _write(self, data: bytes | None) -> None:
        if data is None:
            self._connection.close()
        elif self.out and not self._connection.has_vanished:
            self.out.write(data)


class Connection:
    """A client, the connection to the server that belongs to it, and what is under way."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.there = Pipe(self, Way.THERE)
        self.back = Pipe(self, Way.BACK)
        self.has_vanished = False
        self._has_begun = False
        self._cut: Cut | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_over = False

    def accept(self, client: asyncio.Transport) -> None:
        if self.link.weather.closed:
            reset(client)
            return
        self.link.connections.add(self)
        self.back.out = client
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: End(self, Way.BACK), *self.link.target
            )
        except OSError:
            self.abort()
            return
        self.there.out = transport
        if self._is_over:
            transport.abort()
        self.there.pump()

    def received(self, way: Way, data: bytes | None) -> None:
        if way is Way.BACK:
            self._answered(data)
            return
        self._has_begun = self._has_begun or (data is not None and any(m in data for m in MARKS))
        if data and self.link.cuts and self._has_begun and COMMIT in data:
            self._cut = self.link.cuts.popleft()
            self._make(self._cut, data)
            return
        self.there.feed(data)

    def _make(self, cut: Cut, data: bytes) -> None:
        if cut in {Cut.BEFORE_COMMIT, Cut.VANISHED_BEFORE}:
            self.has_vanished = cut is Cut.VANISHED_BEFORE
        else:
            self.there.feed(data)
        if cut is Cut.BEFORE_COMMIT:
            self.abort()
        elif cut is Cut.AFTER_SENDING and self.there.out:
            self.there.out.close()
            self._reset(self.back)

    def _answered(self, data: bytes | None) -> None:
        if self._cut is Cut.AFTER_EXECUTION:
            self.abort()
        elif self._cut is Cut.VANISHED_AFTER:
            self.has_vanished = True
        self.back.feed(data)

    def go_on(self) -> None:
        self.there.pump()
        self.back.pump()

    def close(self) -> None:
        """Ends both sides as a program does that has finished."""
        self._is_over = True
        self.link.connections.discard(self)
        for each in (self.there, self.back):
            if each.out:
                each.out.close()

    def abort(self) -> None:
        self._reset(self.there, self.back)

    def _reset(self, *pipes: Pipe) -> None:
        self._is_over = True
        self.link.connections.discard(self)
        for each in pipes:
            if each.out:
                reset(each.out)


class End(asyncio.Protocol):
    """The proxy's end of one connection; `way`: of what is read here."""

    def __init__(self, connection: Connection, way: Way) -> None:
        self._connection = connection
        self._way = way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._way is Way.THERE:
            self._connection.accept(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._connection.received(self._way, data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._connection.received(self._way, None)


@asynccontextmanager
async def a_link(
    name: str, target: Place, random: Random, *, place: Place = ("127.0.0.1", 0)
) -> AsyncIterator[Link]:
    link = Link(name, target, random)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: End(Connection(link), Way.THERE), *place)
    link.place = server.sockets[0].getsockname()[:2]
    try:
        yield link
    finally:
        server.close()
        link.cut()
