# SPDX-License-Identifier: MIT
"""A relay leaves an unresponsive server for another one, and not for the same by another name."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.relay.connection import Connection
from service.relay.errors import BrokerUnavailable
from service.relay.link import Link
from service.relay.outages import SILENT
from service.relay.servers import parse_servers
from service.relay.stream_api import StreamApi
from tests.listening import listening
from tests.nats_server import STREAM, NatsServer, a_nats_server
from tests.running import eventually
from tests.system.processes import free_port

SECONDS = 0.2
PATIENCE = 2
"""For servers that answer, and must be left because they have no JetStream."""

NO_JETSTREAM = "JetStream is not enabled on it"


async def ask(connection: Connection) -> str | None:
    """Why the stream is not found, as the relay's log names it."""
    try:
        await StreamApi(connection, STREAM).state()
    except BrokerUnavailable as exc:
        return str(exc)
    return None


async def current_link(connection: Connection) -> Link:
    await connection.wait_until_connected()
    return connection.require()


async def used_links(connection: Connection, count: int) -> set[str | None]:
    """Asks until this many links were used one after another; returns the reasons."""
    reasons: set[str | None] = set()
    seen: list[Link] = []

    async def are_used() -> bool:
        reasons.add(await ask(connection))
        link = await current_link(connection)
        if link not in seen:
            seen.append(link)
        return len(seen) == count

    await eventually(are_used)
    return reasons


async def test_two_servers_without_jetstream_are_tried_in_turn_and_the_reason_stays_the_same() -> (
    None
):
    async with (
        a_nats_server(has_jetstream=False) as one,
        a_nats_server(has_jetstream=False) as other,
        Connection(parse_servers(f"{one.url},{other.url}"), seconds=PATIENCE).open() as connection,
    ):
        assert await used_links(connection, 3) == {NO_JETSTREAM}


@asynccontextmanager
async def two_servers_of_a_cluster() -> AsyncIterator[tuple[NatsServer, NatsServer]]:
    routes = free_port()
    first = f'cluster {{ name: gym, listen: "127.0.0.1:{routes}" }}'
    second = (
        f'cluster {{ name: gym, listen: "127.0.0.1:{free_port()}",'
        f' routes: ["nats://127.0.0.1:{routes}"] }}'
    )
    async with (
        a_nats_server(first, has_jetstream=False) as one,
        a_nats_server(second, has_jetstream=False) as other,
    ):
        yield one, other


async def test_a_server_is_left_for_another_that_its_cluster_names() -> None:
    async with (
        two_servers_of_a_cluster() as (one, _),
        Connection(parse_servers(one.url), seconds=PATIENCE).open() as connection,
    ):
        assert await used_links(connection, 2) == {NO_JETSTREAM}


async def test_a_server_is_no_neighbour_of_itself_by_another_name_than_that_of_the_url() -> None:
    async with two_servers_of_a_cluster() as (one, other):
        url = one.url_with("", host="localhost")
        async with Connection(parse_servers(url), seconds=PATIENCE).open() as connection:
            link = await current_link(connection)

            async def are_named() -> bool:
                return bool(link.neighbours)

            await eventually(are_named)
            assert [each.address for each in link.neighbours] == [("127.0.0.1", other.port)]


async def test_a_server_by_another_address_is_left_once_and_recognised_by_its_id() -> None:
    async with (
        a_server_of_two_addresses() as (url, greeted),
        Connection(parse_servers(url), seconds=SECONDS).open() as connection,
    ):
        assert await used_links(connection, 2) == {SILENT}
        link = await current_link(connection)
        for _ in range(3):  # each takes as long as the relay would need to leave
            assert await ask(connection) == SILENT

        assert connection.require() is link
        assert greeted == ["the URL", "its other address", "the URL"]


@asynccontextmanager
async def a_server_of_two_addresses() -> AsyncIterator[tuple[str, list[str]]]:
    """Answers PING, and names its second address as one of the cluster."""
    greeted: list[str] = []

    async def talk(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, other: int
    ) -> None:
        greeted.append(name)
        info = {"server_id": "GYM", "max_payload": 1048576, "headers": True}
        writer.write(
            b"INFO %s\r\n" % json.dumps({**info, "connect_urls": [f"127.0.0.1:{other}"]}).encode()
        )
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")

    async with (
        listening(lambda reader, writer: talk(reader, writer, "its other address", 0)) as other,
        listening(lambda reader, writer: talk(reader, writer, "the URL", other)) as port,
    ):
        yield f"nats://127.0.0.1:{port}", greeted
