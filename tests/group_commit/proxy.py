# SPDX-License-Identifier: MIT
"""A TCP proxy before PostgreSQL that cuts connections at a chosen moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from urllib.parse import parse_qs, urlsplit

BEGIN, COMMIT = b"acting_users", b"COMMIT;\0"
CHUNK = 65_536


class Cut(Enum):
    """What happens to the message of the client, and to the connection."""

    BEFORE_COMMIT = "closed before the message reaches the server"
    AFTER_SENDING = "closed as soon as the message was sent on"
    AFTER_EXECUTION = "closed after the server has answered, before the client gets the answer"
    VANISHED_BEFORE = "left open, and the message never reaches the server"
    VANISHED_AFTER = "left open, and the answer never reaches the client"


class Proxy:
    """Makes `cuts` in order, one for each message that contains `moment`; None lets it pass.

    `sent` counts the messages of the clients. A client that waits for each answer makes as many
    round trips. COMMIT means that of a group: a new connection has others, to set up its types.
    """

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self.cuts: list[Cut | None] = []
        self.moment = COMMIT
        self.made: list[Cut] = []
        self.sent = 0
        self.port = 0
        self.handlers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        login = self._server.netloc.rpartition("@")[0]
        place = f"{login}@127.0.0.1:{self.port}"
        return self._server._replace(netloc=place, query="sslmode=disable").geturl()

    def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.get_running_loop().create_task(self._handle(reader, writer))
        self.handlers.add(handler)
        handler.add_done_callback(self.handlers.discard)

    async def close(self) -> None:
        """Ends every connection, also those whose client is still there."""
        while self.handlers:
            for handler in self.handlers:
                handler.cancel()
            await asyncio.wait(self.handlers)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = server = await self._connect()
        answers = asyncio.create_task(self._copy(server_reader, writer))
        has_begun = False
        try:
            while data := await reader.read(CHUNK):
                self.sent += 1
                has_begun = has_begun or BEGIN in data
                is_moment = self.moment in data and (has_begun or self.moment != COMMIT)
                cut = self.cuts.pop(0) if self.cuts and is_moment else None
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
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()  # from Python 3.12 on, wait_closed() waits for every connection
        await server.wait_closed()
