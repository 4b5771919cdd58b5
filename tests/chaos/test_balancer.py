# SPDX-License-Identifier: MIT
"""The balancer of the tests' own, for machines without HAProxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from tests.chaos.balancer import a_simple_balancer
from tests.haproxy.balancer import HOSTS
from tests.running import eventually
from tests.system.processes import free_port


class Replica:
    """Says its host, and whether it is ready; counts how often it said so."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.is_ready = True
        self.checks = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.checks += b"/readyz" in await reader.readuntil(b"\r\n\r\n")
        status = "200 OK" if self.is_ready else "503 Service Unavailable"
        writer.write(f"HTTP/1.1 {status}\r\n\r\n{self.host}".encode())
        writer.close()

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        async with await asyncio.start_server(self.serve, self.host, port):
            yield


async def asked(place: tuple[str, int]) -> str:
    """The host of the replica that answers."""
    reader, writer = await asyncio.open_connection(*place)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.decode().rpartition("\n")[2]


async def test_uses_all_replicas_that_are_ready_and_no_other() -> None:
    replicas = [Replica(host) for host in HOSTS]
    port = free_port()
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await stack.enter_async_context(replica.listening(port))
        place = await stack.enter_async_context(a_simple_balancer({"api": port}))

        for host in HOSTS:
            await eventually(partial(_is, place, host))
        replicas[0].is_ready = False
        for _ in range(4):
            await eventually(partial(_are_checked_again, replicas, replicas[1].checks))
            assert await asked(place) == HOSTS[1]


async def _is(place: tuple[str, int], host: str) -> bool:
    return await asked(place) == host


async def _are_checked_again(replicas: list[Replica], before: int) -> bool:
    """One check may have begun before the replica changed, and one may not be judged yet."""
    return replicas[1].checks >= before + 3
