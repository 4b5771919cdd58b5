"""A TCP proxy before PostgreSQL that cuts connections at a chosen moment."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from urllib.parse import parse_qs, urlsplit

PREPARES_WRITE = re.compile(rb"P....(\w+)\0[^\0]*service_write", re.DOTALL)
CHUNK = 65_536


class Cut(Enum):
    """When a connection is cut, counted from what makes the server commit."""

    BEFORE_COMMIT = "before it reaches the server"
    AFTER_SENDING = "as soon as it was sent on"
    AFTER_EXECUTION = "when the server has answered, before the client hears it"
    VANISHED_BEFORE = "nothing is closed, and the server never hears of it"
    VANISHED_AFTER = "nothing is closed, and the client never hears the answer"


class Proxy:
    """`cuts` are made one per group's write, or `moment`, in order; None lets one pass.

    `sent`: how often the client sent something; who waits for each answer made as many round trips.
    """

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self.cuts: list[Cut | None] = []
        self.moment: bytes | None = None
        self.made: list[Cut] = []
        self.sent = 0
        self.port = 0

    @property
    def url(self) -> str:
        login = self._server.netloc.rpartition("@")[0]
        place = f"{login}@127.0.0.1:{self.port}"
        return self._server._replace(netloc=place, query="sslmode=disable").geturl()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = server = await self._connect()
        answers = asyncio.create_task(self._copy(server_reader, writer))
        moment = self.moment
        try:
            while data := await reader.read(CHUNK):
                self.sent += 1
                comes = moment is not None and moment in data
                cut = self.cuts.pop(0) if self.cuts and comes else None
                if self.moment is None and (prepared := PREPARES_WRITE.search(data)):
                    moment = b"\0" + prepared[1] + b"\0"  # as it is named when it is executed
                if cut:
                    self.made.append(cut)
                    answers.cancel()
                    await asyncio.wait([answers])
                    await self._cut(cut, data, reader, server)
                    return
                server_writer.write(data)
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            for each in (writer, server_writer):
                each.transport.abort()

    async def _cut(
        self,
        cut: Cut,
        data: bytes,
        reader: asyncio.StreamReader,
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        server_reader, server_writer = server
        if cut not in {Cut.BEFORE_COMMIT, Cut.VANISHED_BEFORE}:
            server_writer.write(data)
            await server_writer.drain()
        if cut in {Cut.AFTER_EXECUTION, Cut.VANISHED_AFTER}:
            await server_reader.read(CHUNK)
        if cut in {Cut.VANISHED_BEFORE, Cut.VANISHED_AFTER}:
            await reader.read()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query = parse_qs(self._server.query)
        port = self._server.port or 5432
        if "host" in query:
            return await asyncio.open_unix_connection(f"{query['host'][0]}/.s.PGSQL.{port}")
        return await asyncio.open_connection(self._server.hostname, port)


@asynccontextmanager
async def a_proxy(server_url: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(server_url)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
        server.close()
