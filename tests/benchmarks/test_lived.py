# SPDX-License-Identifier: MIT
"""The load as it is lived: a user goes on with what the last answer said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from benchmarks.fresh import Fresh, Share
from benchmarks.issuer import issuing
from benchmarks.load import over_http
from benchmarks.plan import HS256, LIVED, Scenario

SESSIONS = 8_000
ATTEMPTS_SECONDS = (1, 2, 4, 8, 16, 32)
"""A short load reaches no second change of a session if the machine is busy."""


@dataclass
class Server:
    """Answers as the contract says. `etag`, `location`, `request_id`: how it writes these names."""

    etag: str
    location: str
    request_id: str
    versions: dict[str, int] = field(default_factory=dict)
    matched: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines)
                await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = first.split()
                writer.write(self._answer(method, path, headers).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, method: str, path: str, headers: dict[str, str]) -> str:
        user = headers["x-request-id"]
        if method == "POST" and path == "/sessions":
            return self._message(user, 201, 1, f"{self.location}: /sessions/new-{user}\r\n")
        session, _, _ = path.removeprefix("/sessions/").partition("/")
        version = self.versions.get(session, 1)
        expected = headers.get("if-match", f'"{version}"')
        if expected != f'"{version}"':
            return self._message(user, 412, version)
        self.matched.add(expected)
        if method != "GET":
            version += 1
            self.versions[session] = version
        return self._message(user, 200, version)

    def _message(self, user: str, status: int, version: int, more: str = "") -> str:
        return (
            f"HTTP/1.1 {status} Status\r\n{self.request_id}: {user}\r\n{more}"
            f'{self.etag}: "{version}"\r\nContent-Length: 0\r\n\r\n'
        )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    made = Fresh(tmp_path_factory.mktemp("fresh"), count=SESSIONS)
    with issuing(HS256) as issuer:
        made.write([(LIVED, issuer)])
    return made


@pytest.mark.parametrize(
    "names",
    [
        ("etag", "location", "x-request-id"),
        ("ETag", "Location", "X-Request-Id"),
        ("Etag", "Location", "X-Request-Id"),
    ],
    ids=["Python", "Node", "Go"],
)
async def test_sends_the_last_etag_whatever_letters_the_server_writes_it_in(
    names: tuple[str, str, str], fresh: Fresh
) -> None:
    for seconds in ATTEMPTS_SECONDS:
        server = Server(*names)
        async with server.running() as url:
            load = await asyncio.to_thread(
                over_http, url, fresh, Share(0, SESSIONS), Scenario(LIVED, connections=4), seconds
            )
        if '"2"' in server.matched:
            break

    assert (load.refused, load.broken) == (0, 0)
    assert '"2"' in server.matched
    assert any(session.startswith("new-") for session in server.versions)
