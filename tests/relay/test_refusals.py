# SPDX-License-Identifier: MIT
"""A refusal is said as such, with the words of the server and without the login."""

import socket
from contextlib import ExitStack, suppress
from uuid import uuid4

import pytest

from service.relay.connection import Connection
from service.relay.errors import BrokerUnavailable
from service.relay.outages import NO_TLS, NOT_NATS, SILENT
from service.relay.servers import parse_servers
from tests.nats_server import a_nats_server
from tests.relay.programs import a_program
from tests.relay.publishing import a_broker, an_outbox_event
from tests.relay.reasons import SECONDS, SILENCE_SECONDS, reason_for
from tests.running import eventually
from tests.system.processes import free_port

LOGIN = "coach:whistle%2Fgym"
PASSWORD = "whistle/gym"
USER = f'user: coach, password: "{PASSWORD}"'
REFUSED = 'it refuses the login: "Authorization Violation"'
INFO = b'INFO {"server_id":"GYM","version":"2.15.1","max_payload":1048576,"headers":true}\r\n'


@pytest.mark.parametrize("login", ["coach:whistle", "runner:whistle%2Fgym", "whistle%2Fgym"])
async def test_a_wrong_login_is_refused(login: str) -> None:
    async with a_nats_server(f"authorization {{ {USER} }}") as server:
        assert await reason_for(server.url_with(login)) == REFUSED


async def test_a_missing_login_is_required() -> None:
    async with a_nats_server(f"authorization {{ {USER} }}") as server:
        expected = 'it requires a login: "Authorization Violation"'
        assert await reason_for(server.url) == expected


async def test_a_full_server_refuses_the_connection() -> None:
    async with a_nats_server("max_connections: 1") as server, server.client():
        assert await reason_for(server.url) == (
            'it refuses the connection: "maximum connections exceeded"'
        )


async def test_a_server_without_jetstream_is_named_as_such() -> None:
    async with a_nats_server(has_jetstream=False) as server:
        assert await reason_for(server.url) == "JetStream is not enabled on it"


async def test_an_account_without_jetstream_is_named_as_such() -> None:
    account = f"accounts {{ GYM {{ users: [{{{USER}}}], jetstream: disabled }} }}"
    async with a_nats_server(account) as server:
        assert await reason_for(server.url_with(LOGIN)) == (
            'JetStream refuses: "JetStream not enabled for account"'
        )


async def test_the_limit_of_an_account_is_named_in_the_words_of_the_server() -> None:
    account = f"accounts {{ GYM {{ users: [{{{USER}}}], jetstream {{ max_streams: 0 }} }} }}"
    async with a_nats_server(account) as server:
        assert await reason_for(server.url_with(LOGIN)) == "the stream TRAINING_SESSIONS is missing"


def permissions(text: str) -> str:
    """A server for which the relay has these permissions, and a client without login has all."""
    return (
        f"authorization {{ users: [{{{USER}, permissions: {{{text}}}}}, {{user: owner,"
        ' password: "any"}] }\nno_auth_user: owner'
    )


def denial(action: str, subject: str) -> str:
    noun = {"publish": "publish", "subscribe": "subscription"}[action]
    return (
        f"its permissions do not let the relay {action} to {subject}"
        f' ("permissions violation for {noun}")'
    )


DENIED: dict[str, tuple[str, str]] = {
    "answers": ('subscribe: {deny: "_INBOX.>"}', denial("subscribe", "_INBOX.>")),
    "nothing but gym": ('subscribe: {allow: "gym"}', denial("subscribe", "_INBOX.>")),
    "the stream": (
        'publish: {deny: "$JS.API.>"}',
        denial("publish", "$JS.API.STREAM.INFO.TRAINING_SESSIONS"),
    ),
}


@pytest.mark.parametrize(("denied", "words"), DENIED.values(), ids=DENIED.keys())
async def test_names_the_permission_that_is_missing(denied: str, words: str) -> None:
    async with a_nats_server(permissions(denied)) as server:
        await server.make_stream()
        assert await reason_for(server.url_with(LOGIN)) == words


async def test_a_missing_permission_to_publish_is_an_outage_at_once() -> None:
    denied = 'publish: {deny: "training.session.v1.>"}'
    async with a_nats_server(permissions(denied)) as server:
        await server.make_stream()
        async with a_broker(server, login=LOGIN) as broker:
            broker.is_atomic = True
            events = [an_outbox_event(uuid4()) for _ in range(3)]
            for publishing in (broker.publish(events[0]), broker.publish_atomically(events)):
                with pytest.raises(BrokerUnavailable) as raised:
                    await publishing
                assert str(raised.value) == denial("publish", "training.session.v1.>")


async def test_a_missing_permission_to_read_messages_is_an_outage_and_loses_nothing() -> None:
    denied = 'publish: {deny: "$JS.API.STREAM.MSG.GET.>"}'
    async with a_nats_server(permissions(denied)) as server:
        await server.make_stream()
        async with a_broker(server, login=LOGIN) as broker:
            event = an_outbox_event(uuid4())
            assert await broker.publish(event) is False

            with pytest.raises(BrokerUnavailable) as raised:
                await broker.publish(event)

    expected = denial("publish", "$JS.API.STREAM.MSG.GET.TRAINING_SESSIONS")
    assert str(raised.value) == expected


PROGRAMS: dict[str, tuple[bytes, bool, str]] = {
    "silent, as HTTP and PostgreSQL are": (b"", False, NOT_NATS),
    "that hangs up": (b"", True, NOT_NATS),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", False, NOT_NATS),
    "SMTP": (b"220 mail.gym.example ESMTP\r\n", True, NOT_NATS),
    "of many bytes and no line": (b"\xff" * 200_000, False, NOT_NATS),
    "whose greeting is not JSON": (b"INFO {\r\n", False, NOT_NATS),
    "whose greeting is not text": (b"INFO \xff\r\n", False, NOT_NATS),
    "whose greeting is a list": (b"INFO []\r\n", False, NOT_NATS),
    "that greets and is stuck": (INFO, False, SILENT),
    "that greets and hangs up": (INFO, True, "it ends the connection"),
}


@pytest.mark.parametrize(("greeting", "hangs_up", "words"), PROGRAMS.values(), ids=PROGRAMS.keys())
async def test_names_a_program_that_is_no_nats_server(
    greeting: bytes, hangs_up: bool, words: str
) -> None:
    is_silent = greeting in {b"", INFO} and not hangs_up
    patience = SILENCE_SECONDS if is_silent else SECONDS
    async with a_program(greeting, hangs_up=hangs_up) as program:
        assert await reason_for(program.url, patience=patience) == words
        assert words == SILENT or b"whistle" not in program.heard


@pytest.mark.parametrize("words", [PASSWORD, f"no {PASSWORD.upper()} here", "coach is unknown"])
async def test_a_server_that_repeats_the_login_is_not_quoted(words: str) -> None:
    async with a_program(INFO, f"-ERR '{words}'\r\n".encode()) as program:
        assert await reason_for(program.url) == (
            "it refuses the connection: (its words repeat a part of the login)"
        )


async def test_a_server_that_breaks_the_protocol_is_an_outage() -> None:
    async with a_program(INFO, b"PONG\r\nHELLO\r\n") as program:
        assert await reason_for(program.url) == "it breaks the protocol of NATS"


async def test_nothing_is_sent_without_tls_if_the_url_requires_it() -> None:
    async with a_program(INFO) as program:
        assert await reason_for(program.url.replace("nats://", "tls://")) == NO_TLS

    assert program.heard == b""


async def test_a_port_without_a_program_is_named_as_such() -> None:
    assert await reason_for(f"nats://coach:whistle@127.0.0.1:{free_port()}") == (
        "it refuses the connection: no program listens on its port"
    )


async def test_a_port_that_accepts_no_connection_in_time_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener, ExitStack() as waiting:
        for _ in range(8):  # more than its queue holds
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(listener.getsockname())
        url = f"nats://coach:whistle@127.0.0.1:{listener.getsockname()[1]}"
        assert await reason_for(url, patience=SILENCE_SECONDS) == SILENT


async def test_a_host_that_cannot_be_resolved_is_named_as_such() -> None:
    reason = await reason_for("nats://coach:whistle@gym.invalid")

    assert reason.startswith("its host name cannot be resolved")
    assert "gym" not in reason


async def test_each_of_several_servers_has_its_own_reason() -> None:
    async with a_nats_server(f"authorization {{ {USER} }}") as server:
        urls = f"nats://127.0.0.1:{free_port()},{server.url_with('coach:whistle')}"
        reason = await reason_for(urls)

    assert reason == (
        f"server 1: it refuses the connection: no program listens on its port; server 2: {REFUSED}"
    )


async def test_a_login_that_is_withdrawn_ends_the_connection_with_its_reason() -> None:
    async with a_nats_server(f"authorization {{ {USER} }}") as server:
        servers = parse_servers(server.url_with(LOGIN))
        async with Connection(servers, seconds=SECONDS).open() as connection:
            await connection.wait_until_connected()
            server.reload("authorization { user: coach, password: another }")

            async def is_refused() -> bool:
                try:
                    connection.require()
                except BrokerUnavailable as exc:
                    return str(exc) == REFUSED
                return False

            await eventually(is_refused)
