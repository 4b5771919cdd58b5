# SPDX-License-Identifier: MIT
"""HAProxy before the replicas, or a balancer of the tests' own where HAProxy is missing."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from tests.chaos.link import Link, a_link
from tests.chaos.weather import Place
from tests.haproxy.balancer import HOSTS, configuration, names
from tests.optional_programs import HAPROXY
from tests.system.processes import started

CHECK_SECONDS = 1.0
CHECK = b"GET /readyz HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def a_balancer(ports: Mapping[str, int]) -> AsyncIterator[Place]:
    """Where it listens, once it has found both replicas."""
    own = a_haproxy if HAPROXY.find() else a_simple_balancer
    async with own(ports) as place:
        yield place


@asynccontextmanager
async def a_haproxy(ports: Mapping[str, int]) -> AsyncIterator[Place]:
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "haproxy.cfg"
        # Its line for each request would be read by the process that simulates the users.
        config.write_text(configuration(dict(ports)).replace("option httplog", "no log"))
        async with (
            names(ports["names"]),
            started("-f", str(config), command=[HAPROXY.path()]) as process,
        ):
            await process.line("is UP", count=len(HOSTS))
            yield "127.0.0.1", ports["clients"]


@asynccontextmanager
async def a_simple_balancer(ports: Mapping[str, int]) -> AsyncIterator[Place]:
    """Leads each new connection to the next replica that was ready a second ago."""
    replicas = [(host, ports["api"]) for host in HOSTS]
    async with a_link("balancer", replicas[0], Random(0)) as link:  # noqa: S311  no secret
        ready = asyncio.Event()
        checking = asyncio.create_task(_check(link, replicas, ready))
        await ready.wait()
        try:
            yield link.place
        finally:
            checking.cancel()
            await asyncio.wait([checking])


async def _check(link: Link, replicas: list[Place], ready: asyncio.Event) -> None:
    turn = 0
    while True:
        found = await asyncio.gather(*map(is_ready, replicas))
        healthy = [place for place, each in zip(replicas, found, strict=True) if each]
        if healthy:
            turn += 1
            link.target = healthy[turn % len(healthy)]
        if len(healthy) == len(replicas):
            ready.set()
        await asyncio.sleep(CHECK_SECONDS / 5)


async def is_ready(place: Place) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(CHECK_SECONDS):
            reader, writer = await asyncio.open_connection(*place)
            try:
                writer.write(CHECK)
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    return False
