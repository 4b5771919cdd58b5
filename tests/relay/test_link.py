# SPDX-License-Identifier: MIT
"""Which servers a link takes for unresponsive, in simulated time, with a client that only sends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from service.relay import link as links
from service.relay.errors import BrokerUnavailable
from service.relay.link import WATCH_SECONDS, Link
from service.relay.outages import SILENT
from service.relay.servers import parse_servers

pytestmark = pytest.mark.simulated_time

LIMIT = 5
BEFORE = 4.9
SUBJECT = "$JS.API.STREAM.INFO.GYM"
HOUR = 3600

ACK = b'{"stream":"GYM","seq":7}'
NO_LEADER = b'{"error":{"code":503,"err_code":10008,"description":"unavailable"}}'
ErrorCallback = Callable[[Exception], Awaitable[None]]
MessageCallback = Callable[[Msg], Awaitable[None]]

NO_RESPONDERS = {"Status": "503"}


class SilentClient:
    """In place of the library's client, which needs a socket. The test gives the answers."""

    def __init__(self, **_: Any) -> None:
        self.is_connected = False
        self.is_connecting = False
        self.last_error = None

    def new_inbox(self) -> str:
        return "_INBOX.gym"

    async def connect(self, _urls: list[str], *, error_cb: ErrorCallback, **_: Any) -> None:
        self.is_connected, self.report = True, error_cb

    async def subscribe(self, _subject: str, *, cb: MessageCallback) -> None:
        self._settle = cb

    async def flush_in_order(self) -> None:
        pass

    async def send(self, _commands: bytes) -> None:
        pass

    async def answer(self, reply: str, data: bytes = ACK, headers: Any = None) -> None:
        library: Any = None
        await self._settle(Msg(library, reply, data=data, headers=headers))

    async def close(self) -> None:
        self.is_connected = False


@pytest.fixture
async def client() -> SilentClient:
    return SilentClient()


@pytest.fixture
async def link(client: SilentClient, monkeypatch: pytest.MonkeyPatch) -> Link:
    monkeypatch.setattr(links, "RelayClient", lambda **_: client)
    [server] = parse_servers("nats://nats.example.com")
    link = Link(server, LIMIT)
    await link.open()
    return link


async def send(link: Link, reply: str | None = None) -> asyncio.Task[Msg]:
    reply = reply or link.new_reply()
    asking = asyncio.create_task(link.request(b"", reply, subject=SUBJECT, permission=SUBJECT))
    await asyncio.sleep(0)
    return asking


async def failure(asking: Awaitable[Msg]) -> str:
    with pytest.raises(BrokerUnavailable) as raised:
        await asking
    return str(raised.value)


async def test_a_server_is_unresponsive_if_a_request_has_no_answer_within_the_limit(
    link: Link,
) -> None:
    asking = await send(link)
    await asyncio.sleep(BEFORE)
    assert not link.is_unresponsive

    assert await failure(asking) == SILENT
    assert link.is_unresponsive


async def test_a_server_that_answers_slowly_but_within_the_limit_is_responsive(
    link: Link, client: SilentClient
) -> None:
    for _ in range(10):
        reply = link.new_reply()
        asking = await send(link, reply)
        await asyncio.sleep(BEFORE)
        await client.answer(reply)
        await asking
        assert not link.is_unresponsive


async def test_an_idle_link_is_responsive_after_a_burst_of_answers_in_one_step(
    link: Link, client: SilentClient
) -> None:
    replies = [link.new_reply() for _ in range(20)]
    asking = [await send(link, each) for each in replies]
    for each in replies:
        await client.answer(each)
    await asyncio.gather(*asking)

    await asyncio.sleep(HOUR)
    assert not link.is_unresponsive


async def test_a_server_that_loses_one_of_many_requests_is_responsive(
    link: Link, client: SilentClient
) -> None:
    lost = await send(link)
    await asyncio.sleep(1)
    reply = link.new_reply()
    asking = await send(link, reply)
    await client.answer(reply)
    await asking

    assert await failure(lost) == SILENT
    assert not link.is_unresponsive


async def test_a_denied_permission_does_not_make_a_server_unresponsive(
    link: Link, client: SilentClient
) -> None:
    denied = NatsError(f"nats: 'permissions violation for publish to \"{SUBJECT.lower()}\"'")
    for _ in range(HOUR):
        asking = await send(link)
        await client.report(denied)
        assert "permissions" in await failure(asking)
        await asyncio.sleep(1)
        assert not link.is_unresponsive


async def test_a_cancelled_request_does_not_make_a_server_unresponsive(link: Link) -> None:
    asking = await send(link)
    asking.cancel()
    await asyncio.wait([asking])

    await asyncio.sleep(HOUR)
    assert not link.is_unresponsive


async def test_an_answer_after_the_limit_shows_that_a_server_is_responsive(
    link: Link, client: SilentClient
) -> None:
    reply = link.new_reply()
    late = await send(link, reply)
    assert await failure(late) == SILENT
    assert link.is_unresponsive

    await client.answer(reply)
    assert not link.is_unresponsive


@pytest.mark.parametrize(
    ("data", "headers"), [(b"", NO_RESPONDERS), (NO_LEADER, None)], ids=["responder", "leader"]
)
async def test_a_server_is_unresponsive_if_it_answers_in_place_of_jetstream_for_the_limit(
    link: Link, client: SilentClient, data: bytes, headers: Any
) -> None:
    for _ in range(LIMIT):
        assert not link.is_unresponsive
        reply = link.new_reply()
        asking = await send(link, reply)
        await asyncio.sleep(1)
        await client.answer(reply, data, headers)
        assert (await asking).data == data

    assert link.is_unresponsive
    asking = await send(link)
    await link.close()
    assert (await asking).data == data, "the reason has not changed"


async def test_an_answer_of_jetstream_ends_a_time_in_which_the_server_answered_in_its_place(
    link: Link, client: SilentClient
) -> None:
    for data in (NO_LEADER, ACK, NO_LEADER):
        reply = link.new_reply()
        asking = await send(link, reply)
        await asyncio.sleep(BEFORE)
        await client.answer(reply, data)
        await asking
        assert not link.is_unresponsive


async def test_a_link_is_left_before_the_next_request_is_answered(
    link: Link, client: SilentClient
) -> None:
    """A leader without followers answers questions about the stream, and stores nothing."""
    using = asyncio.create_task(link.wait_until_lost(may_leave=lambda: True))
    await asyncio.sleep(WATCH_SECONDS / 2)  # so that the limit ends between two looks at the link
    await failure(await send(link))
    reply = link.new_reply()
    asking = await send(link, reply)
    await client.answer(reply)
    await asking

    assert await using == SILENT


async def test_an_unresponsive_server_is_not_left_if_no_other_is_known(link: Link) -> None:
    using = asyncio.create_task(link.wait_until_lost(may_leave=lambda: False))
    await failure(await send(link))
    await asyncio.sleep(HOUR)
    assert not using.done()

    await link.close()
    assert await using == "the connection is lost"
