# SPDX-License-Identifier: MIT
"""Logins in SERVICE_NATS_URL: percent-encoded there, and decoded before they are sent."""

import json
import signal
from collections.abc import Iterable
from urllib.parse import quote

import pytest

from service.relay.connection import Connection
from service.relay.errors import BrokerUnavailable
from service.relay.servers import parse_servers
from tests.nats_server import NatsServer, a_nats_server
from tests.relay.conftest import StartRelay, is_empty
from tests.relay.queue import an_event
from tests.relay.reasons import SECONDS, reason_for
from tests.running import TestDatabase, eventually
from tests.system.processes import free_port

PASSWORDS = (
    *(f"a {each} b" for each in "@/?#:%[],+&=;$!*'()\"\\|^`{}<>~"),
    "@/?#:%[],+ é",
    " begins and ends with a space ",
    "%41 stands for itself",
    "a%2Cb",
    "Größe 9, ☃",
    "\N{FULLWIDTH NUMBER SIGN}",
    "p" * 500,
)
PLAIN = {"has_jetstream": False}
REFUSED = 'it refuses the login: "Authorization Violation"'


def encoded(text: str) -> str:
    return quote(text, safe="")


def users(logins: Iterable[tuple[str, str]]) -> str:
    """The configuration of a server with these users and passwords."""
    listed = (
        f"{{user: {json.dumps(user, ensure_ascii=False)},"
        f" password: {json.dumps(password, ensure_ascii=False)}}}"
        for user, password in logins
    )
    return f"authorization {{ users: [{', '.join(listed)}] }}"


async def is_accepted(urls: str) -> bool:
    return await reason_for(urls) == "the stream TRAINING_SESSIONS is missing"


async def test_a_password_may_hold_any_character() -> None:
    names = [f"coach {number} of {password[:5]}" for number, password in enumerate(PASSWORDS)]
    logins = list(zip(names, PASSWORDS, strict=True))

    async with a_nats_server(users(logins)) as server:
        refused = [
            password
            for user, password in logins
            if not await is_accepted(server.url_with(f"{encoded(user)}:{encoded(password)}"))
        ]

    assert refused == []


@pytest.mark.parametrize("written", ["p%40ss:w%C3%B6rd%2B", "p%40ss%3Aw%c3%b6rd+", "p%40ss:wörd+"])
async def test_an_encoding_has_several_forms(written: str) -> None:
    async with a_nats_server(users([("coach", "p@ss:wörd+")])) as server:
        assert await is_accepted(server.url_with(f"coach:{written}"))


async def test_a_password_is_decoded_once() -> None:
    async with a_nats_server(users([("coach", "a%2Cb")])) as server:
        assert await is_accepted(server.url_with("coach:a%252Cb"))
        assert await reason_for(server.url_with("coach:a%2Cb")) == REFUSED


async def test_a_name_without_a_password_is_a_token() -> None:
    token = "t@k/e?n#%:,"
    async with a_nats_server(f'authorization {{ token: "{token}" }}') as server:
        assert await is_accepted(server.url_with(encoded(token)))
        assert await reason_for(server.url_with(f"{encoded(token)}:")) == REFUSED


async def test_a_password_may_be_empty() -> None:
    async with a_nats_server(users([("coach", "")])) as server:
        assert await is_accepted(server.url_with("coach:"))
        assert await reason_for(server.url_with("coach")) == REFUSED


async def test_a_server_may_require_no_login() -> None:
    async with a_nats_server() as server:
        assert await is_accepted(server.url)
        assert await is_accepted(server.url_with("coach:whistle"))


async def test_a_host_may_be_an_ipv6_address() -> None:
    async with a_nats_server(users([("coach", "p@ss")]), host="::1") as server:
        assert await is_accepted(server.url_with("coach:p%40ss"))
        assert await reason_for(server.url_with("coach:pass")) == REFUSED


async def test_each_of_several_urls_has_its_own_login() -> None:
    async with (
        a_nats_server(users([("coach", "a,b")])) as first,
        a_nats_server('authorization { token: "c,d" }') as second,
    ):
        urls = f"{first.url_with('coach:a%2Cb')}, {second.url_with('c%2Cd')}"
        for away in (first, second):
            await away.stop()
            assert await is_accepted(urls)
            await away.start()

        wrong = f"{first.url_with('c%2Cd')},{second.url_with('coach:a%2Cb')}"
        assert await reason_for(wrong) == REFUSED


async def test_goes_on_with_the_next_server_and_its_login_when_one_is_lost() -> None:
    async with (
        a_nats_server(users([("coach", "a,b")])) as first,
        a_nats_server(users([("runner", "c/d")])) as second,
    ):
        urls = f"{first.url_with('coach:a%2Cb')},{second.url_with('runner:c%2Fd')}"
        async with Connection(parse_servers(urls), seconds=SECONDS).open() as connection:
            await connection.wait_until_connected()
            await first.stop()
            await eventually(lambda: is_connected(connection))


async def test_logs_in_to_a_server_of_the_cluster_that_no_url_names() -> None:
    """A server names the others of its cluster; the URL is that of one of them."""
    route = free_port()
    login = users([("coach", "a,b")])
    cluster = f'cluster {{ name: gym, routes: ["nats://127.0.0.1:{route}"]'
    async with (
        a_nats_server(f"{login}\n{cluster}, listen: 127.0.0.1:{route} }}", **PLAIN) as first,
        a_nats_server(f"{login}\n{cluster}, listen: 127.0.0.1:{free_port()} }}", **PLAIN) as second,
    ):
        servers = parse_servers(first.url_with("coach:a%2Cb"))
        async with Connection(servers, seconds=SECONDS).open() as connection:
            await connection.wait_until_connected()
            await eventually(lambda: is_named(connection, second))
            await first.stop()
            await eventually(lambda: is_connected(connection))


@pytest.mark.parametrize(
    ("host", "certified"),
    [("10.0.0.2", "nats.gym.example"), ("fd00::2", "nats.gym.example"), ("n2.gym.example", None)],
)
def test_another_server_of_the_cluster_has_the_login_and_a_certificate_for_its_name(
    host: str, certified: str | None
) -> None:
    [server] = parse_servers("tls://coach:a%2Cb@nats.gym.example")

    neighbour = server.neighbour(host, 4223).neighbour(host, 4224)

    assert (neighbour.user, neighbour.password) == ("coach", "a,b")
    assert (neighbour.address, neighbour.certified_host) == ((host, 4224), certified)
    assert neighbour.requires_tls


async def is_connected(connection: Connection) -> bool:
    try:
        connection.require()
    except BrokerUnavailable:
        return False
    return True


async def is_named(connection: Connection, server: NatsServer) -> bool:
    return any(each.address[1] == server.port for each in connection.require().neighbours)


async def test_the_relay_publishes_with_a_login_of_special_characters(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    password = "p@ss/w?rd#:%[],+ é"
    await an_event(database, await database.a_session(), 1)

    async with a_nats_server(users([("training@gym", password)])) as server:
        url = server.url_with(f"training%40gym:{encoded(password)}")
        async with a_relay("--ensure-stream", nats_url=url, log_level="debug") as process:
            await eventually(lambda: is_empty(database))
            process.signal(signal.SIGTERM)
            assert await process.end() == 0, process.output

    assert password not in process.output
