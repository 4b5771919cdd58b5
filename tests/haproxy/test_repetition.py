# SPDX-License-Identifier: MIT
"""What clients learn of a request that HAProxy has sent to a second replica."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.haproxy.balancer import HOSTS, configuration, names
from tests.optional_programs import HAPROXY
from tests.system.processes import PATIENCE_SECONDS, free_port, started

PATH = "/sessions/0199a5a0-0000-7000-8000-000000000000/fail"
REFUSALS = {
    "401 Unauthorized": "UNAUTHENTICATED",
    "503 Service Unavailable": "OVERLOADED",
    "429 Too Many Requests": "TOO_MANY_REQUESTS",
    "409 Conflict": "INVALID_STATUS",
    "412 Precondition Failed": "PRECONDITION_FAILED",
    "422 Unprocessable Content": "INVALID_STATUS",
}


@dataclass
class Replicas:
    """The first takes each command and closes the connection; the second refuses it."""

    refusal: str
    taken: set[str] = field(default_factory=set)

    async def serve_first(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in _heads(reader):
            if head.startswith("GET"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            else:
                self.taken.add(head.partition("x-request-id: ")[2].partition("\r\n")[0])
                break
        writer.close()

    async def serve_second(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async for head in _heads(reader):
            body = b"" if head.startswith("GET") else _error(REFUSALS[self.refusal])
            status = "200 OK" if head.startswith("GET") else self.refusal
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body)
        writer.close()


async def _heads(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """The requests have no bodies."""
    while True:
        try:
            yield (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return


def _error(code: str) -> bytes:
    return f'{{"error":{{"code":"{code}","message":"","details":{{}}}}}}'.encode()


@asynccontextmanager
async def behind_haproxy(replicas: Replicas, config: Path) -> AsyncIterator[httpx2.AsyncClient]:
    ports = {name: free_port() for name in ("clients", "metrics", "api", "names")}
    await asyncio.to_thread(config.write_text, configuration(ports))
    async with AsyncExitStack() as stack:
        serving = (replicas.serve_first, replicas.serve_second)
        for host, serve in zip(HOSTS, serving, strict=True):
            server = await asyncio.start_server(serve, host, ports["api"])
            stack.callback(server.close)
        await stack.enter_async_context(names(ports["names"]))
        haproxy = started("-f", str(config), command=[HAPROXY.path()])
        process = await stack.enter_async_context(haproxy)
        await process.line("is UP", count=len(HOSTS))
        url = f"http://127.0.0.1:{ports['clients']}"
        yield await stack.enter_async_context(
            httpx2.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS)
        )


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_of_the_second_replica_does_not_promise_that_the_first_does_nothing(
    tmp_path: Path, refusal: str
) -> None:
    """The first may also do it later: it waits for a connection to the database, for instance."""
    replicas = Replicas(refusal)
    async with behind_haproxy(replicas, tmp_path / "haproxy.cfg") as client:
        codes = {}
        for number in range(4):
            headers = {"X-Request-Id": f"set-{number}", "Idempotency-Key": f"key-{number}"}
            answer = await client.post(PATH, headers=headers)
            codes[f"set-{number}"] = answer.json()["error"]["code"]
            assert answer.headers["X-Request-Id"] == f"set-{number}"

    assert 0 < len(replicas.taken) < len(codes)
    for request_id, code in codes.items():
        is_known = request_id not in replicas.taken
        assert code == (REFUSALS[refusal] if is_known else "DEPENDENCY_UNAVAILABLE")
