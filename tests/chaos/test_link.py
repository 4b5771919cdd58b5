# SPDX-License-Identifier: MIT
"""The proxy between two parts does to their messages what it says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from tests.chaos.link import MARKS, Link, a_link
from tests.chaos.weather import Way
from tests.group_commit.proxy import Cut
from tests.listening import listening
from tests.running import eventually

COMMIT = b"COMMIT;\0"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """Answers every line by `done` and the same line, and notes it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.heard.append(line)
            writer.write(b"done " + line)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def link(server: Server) -> AsyncIterator[Link]:
    async with (
        listening(server.serve) as port,
        a_link("a link", ("127.0.0.1", port), Random(1)) as link,  # noqa: S311  no secret
    ):
        yield link


@asynccontextmanager
async def connected(link: Link) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(*link.place)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(streams: Streams, line: bytes = b"lift\n") -> bytes:
    reader, writer = streams
    writer.write(line)
    return await reader.readline()


async def heard(server: Server, line: bytes) -> bool:
    return line in server.heard


async def has_ended(streams: Streams) -> bool:
    try:
        return await streams[0].read(1) == b""
    except ConnectionError:
        return True


async def test_passes_everything_on(link: Link) -> None:
    async with connected(link) as streams:
        assert await answer(streams) == b"done lift\n"


async def test_delays_each_message_and_keeps_their_order(link: Link) -> None:
    loop = asyncio.get_running_loop()
    async with connected(link) as (reader, writer):
        await answer((reader, writer))
        link.change(delay=0.05, loss=0.5, resend=(0.01, 0.1))
        begun = loop.time()
        for number in range(20):
            writer.write(b"%d\n" % number)
        answers = [await reader.readline() for _ in range(20)]

    assert loop.time() - begun >= 0.1
    assert answers == [b"done %d\n" % number for number in range(20)]


@pytest.mark.parametrize("way", Way)
async def test_delivers_what_was_stopped_when_the_partition_is_over(
    link: Link, server: Server, way: Way
) -> None:
    async with connected(link) as streams:
        await answer(streams)
        link.change(stopped={way})
        waiting = asyncio.create_task(answer(streams, b"rest\n"))
        async with connected(link) as others:
            their_answer = asyncio.create_task(answer(others, b"run\n"))
            done, _ = await asyncio.wait([waiting, their_answer], timeout=0.2)
            assert not done
            if way is Way.BACK:
                await eventually(lambda: heard(server, b"rest\n"))
            assert (b"rest\n" in server.heard) == (way is Way.BACK)
            link.change()

            assert await waiting == b"done rest\n"
            assert await their_answer == b"done run\n"


async def test_a_half_open_connection_stays_silent_and_new_ones_work(link: Link) -> None:
    async with connected(link) as streams:
        await answer(streams)
        link.vanish()
        waiting = asyncio.create_task(answer(streams))
        async with connected(link) as others:
            assert await answer(others) == b"done lift\n"
        assert not waiting.done()
        waiting.cancel()


async def test_resets_connections_and_accepts_none_while_it_is_closed(link: Link) -> None:
    async with connected(link) as streams:
        await answer(streams)
        link.change(closed=True)
        assert await has_ended(streams)
        async with connected(link) as others:
            assert await has_ended(others)
        link.change()
        async with connected(link) as others:
            assert await answer(others) == b"done lift\n"


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("cut", Cut)
async def test_cuts_a_connection_at_its_commit(
    link: Link, server: Server, cut: Cut, mark: bytes
) -> None:
    link.cuts.append(cut)
    async with connected(link) as streams:
        await answer(streams, mark + b"\n")
        streams[1].write(COMMIT + b"\n")
        waiting = asyncio.create_task(has_ended(streams))
        if cut in {Cut.VANISHED_BEFORE, Cut.VANISHED_AFTER}:
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
            waiting.cancel()
        else:
            assert await waiting

    if cut in {Cut.BEFORE_COMMIT, Cut.VANISHED_BEFORE}:
        assert COMMIT + b"\n" not in server.heard
    else:
        await eventually(lambda: heard(server, COMMIT + b"\n"))
