# SPDX-License-Identifier: MIT
"""A client of HTTP/1.1 that costs little: many users share one processor with all the servers."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import httptools


class NoAnswer(Exception):
    """The connection ended before the whole answer was there."""


@dataclass
class Response:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class _Exchange(asyncio.Protocol):
    """One connection, which has one request under way at most."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_lost = False
        self._answer: asyncio.Future[Response] | None = None

    def send(self, request: bytes) -> asyncio.Future[Response]:
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._response = Response()
        if self.transport is None or self.is_lost:
            self._answer.set_exception(NoAnswer("closed before the request"))
        else:
            self.transport.write(request)
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # such as an answer to a connection that was never used
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._fail(NoAnswer(f"no HTTP: {exc}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(NoAnswer(str(exc or "closed by the other side")))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._response.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._response.body += body

    def on_message_complete(self) -> None:
        self._response.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer and not self._answer.done():
            self._answer.set_result(self._response)

    def close(self) -> None:
        self.is_lost = True
        if self.transport:
            self.transport.abort()

    def _fail(self, error: NoAnswer) -> None:
        self.is_lost = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)


class Client:
    """Keeps connections for later requests, as an app does."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._idle: list[_Exchange] = []

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout: float,  # noqa: ASYNC109  the time limit is what callers vary
    ) -> Response:
        """Raises NoAnswer, OSError and TimeoutError; then the result is not known."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._place[0]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if method != "GET":
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        exchange = None
        try:
            async with asyncio.timeout(timeout):
                exchange = await self._connection()
                answer = await exchange.send("\r\n".join([*lines, "", ""]).encode() + body)
        except BaseException:
            if exchange:
                exchange.close()
            raise
        if not exchange.is_lost:
            self._idle.append(exchange)
        return answer

    async def _connection(self) -> _Exchange:
        while self._idle:
            exchange = self._idle.pop()
            if not exchange.is_lost:
                return exchange
        loop = asyncio.get_running_loop()
        _, exchange = await loop.create_connection(_Exchange, *self._place)
        return exchange

    def close(self) -> None:
        for each in self._idle:
            with suppress(OSError):
                each.close()
