# SPDX-License-Identifier: MIT
"""Bare connections, for bytes that no HTTP client sends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from service.domain.session import Session
from tests.builders import a_session, a_token
from tests.running import App, running_app, test_settings

HOST = b"Host: gym\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: gym\r\n\r\n"


@dataclass
class Answer:
    """The names of the headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


@dataclass
class BareConnection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> None:
        """Each part in a packet of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def answer(self, *, has_body: bool = True) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        size = int(headers.get("content-length", 0)) if has_body else 0
        return Answer(int(status_line.split()[1]), headers, await self.reader.readexactly(size))

    async def rest(self) -> bytes:
        """What arrives until the server closes or resets the connection."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


class Listening(Protocol):
    @property
    def url(self) -> str: ...


@asynccontextmanager
async def connected(app: Listening) -> AsyncIterator[BareConnection]:
    url = urlsplit(app.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield BareConnection(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def a_bare_app(**settings: Any) -> AsyncIterator[App]:
    nowhere = {"database_url": "postgresql://nobody@127.0.0.1:1/nothing"}
    async with running_app(test_settings(**nowhere | settings)) as app:
        yield app


def a_post(*lines: bytes, session: Session | None = None) -> bytes:
    """The head of the command that fails this session, with these headers beside the usual ones."""
    session = session or a_session()
    first = f"POST /sessions/{session.id}/fail HTTP/1.1".encode()
    token = f"Authorization: Bearer {a_token(session.user_id)}".encode()
    usual = [HOST.strip(), token, b"Content-Type: application/json"]
    return b"\r\n".join([first, *usual, *lines, b"", b""])


def assert_refuses(answer: Answer, status: int, code: str) -> None:
    """The format and the headers of every refusal of the service."""
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["message"]
    assert answer.error["details"]["requestId"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    assert "date" in answer.headers


def is_new_request_id(answer: Answer) -> bool:
    return UUID(answer.headers["x-request-id"]).version == 4
