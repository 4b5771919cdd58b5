# SPDX-License-Identifier: MIT
"""The relay's log names an outage once when it begins, when it changes, and when it is over."""

import json
import signal
from datetime import UTC, datetime

import pytest

from tests.nats_server import NatsServer, a_nats_server
from tests.relay.conftest import LONG_LEASE, StartRelay, is_empty
from tests.relay.programs import a_program
from tests.relay.queue import an_event
from tests.running import TestDatabase, eventually
from tests.system.processes import Process, free_port

LOGIN = "coach:whistle%2Fgym"
PASSWORD = "whistle/gym"
REFUSED = 'it refuses the login: "Authorization Violation"'
NO_PROGRAM = "it refuses the connection: no program listens on its port"
NO_READING = (
    "its permissions do not let the relay publish to $JS.API.STREAM.MSG.GET.TRAINING_SESSIONS"
    ' ("permissions violation for publish")'
)


def authorization(password: str, *, permissions: str = "") -> str:
    """The owner of the stream needs no login."""
    return (
        f'authorization {{ users: [{{user: coach, password: "{password}",'
        f' permissions: {{{permissions}}}}}, {{user: owner, password: "any"}}] }}\n'
        "no_auth_user: owner"
    )


def outages(process: Process) -> list[tuple[str, str, str | None]]:
    """Without the moment in which a connection is lost, which the relay may miss."""
    lines = [json.loads(line) for line in process.out]
    return [
        (line["level"], line["state"], line.get("reason"))
        for line in lines
        if line["event"] == "relay" and line.get("reason") != "the connection is lost"
    ]


async def end(process: Process) -> None:
    process.signal(signal.SIGTERM)
    assert await process.end() == 0, process.output


async def test_a_refusal_is_logged_when_it_begins_when_it_changes_and_when_it_is_over(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    await an_event(database, await database.a_session(), 1)
    async with a_nats_server(authorization("another")) as server:
        await server.make_stream()
        url = server.url_with(LOGIN)
        async with a_relay(nats_url=url, log_level="debug") as process:
            await process.line("it refuses the login")
            denied = 'publish: {deny: "$JS.API.STREAM.MSG.GET.>"}'
            server.reload(authorization(PASSWORD, permissions=denied))
            await process.line("MSG.GET")
            server.reload(authorization(PASSWORD))
            await process.line("active")
            await eventually(lambda: is_empty(database))
            await end(process)

    assert outages(process) == [
        ("warning", "broker unavailable", REFUSED),
        ("warning", "broker unavailable", NO_READING),
        ("info", "active", None),
    ]
    assert PASSWORD not in process.output
    assert "whistle" not in process.output


async def test_a_relay_without_events_notices_an_outage_too(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    async with a_relay() as process:
        await process.line("active")
        await stream.stop()
        await process.line("no program listens")
        await stream.start()
        await process.line("active", count=2)
        await end(process)

    first, second, *_ = found = outages(process)
    active = ("info", "active", None)
    assert (first, second) == (active, ("warning", "broker unavailable", NO_PROGRAM))
    assert found[-1] == active


async def test_a_relay_that_stands_by_notices_an_outage_too(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    async with a_relay(**LONG_LEASE) as active:
        await active.line("active")
        async with a_relay(nats_url=f"nats://127.0.0.1:{free_port()}") as process:
            await process.line("no program listens")
            await end(process)

    assert outages(process) == [("warning", "broker unavailable", NO_PROGRAM)]


async def test_a_refused_event_is_not_lost_while_messages_cannot_be_read(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    event_id = await an_event(database, await database.a_session(), 1)
    async with a_nats_server(authorization(PASSWORD)) as server:
        await server.make_stream()
        async with a_relay(nats_url=server.url_with(LOGIN)) as process:
            await eventually(lambda: is_empty(database))
            denied = 'publish: {deny: "$JS.API.STREAM.MSG.GET.>"}'
            server.reload(authorization(PASSWORD, permissions=denied))
            await database.execute(
                "INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM events"
            )
            await process.line("MSG.GET")
            assert await database.outbox() == [event_id]
            server.reload(authorization(PASSWORD))
            await eventually(lambda: is_empty(database))
            await end(process)

        assert await server.ids() == [str(event_id)]


@pytest.mark.parametrize(
    "arguments",
    [["--replay", "--since", datetime(2026, 1, 1, tzinfo=UTC).isoformat()]],
    ids=["replay"],
)
async def test_a_command_that_ends_names_the_outage(
    database: TestDatabase, a_relay: StartRelay, arguments: list[str]
) -> None:
    async with (
        a_nats_server(authorization("another")) as server,
        a_relay(*arguments, nats_url=server.url_with(LOGIN), log_level="debug") as refused,
    ):
        assert await refused.end() == 1
    async with (
        a_program(b"SSH-2.0-OpenSSH_9.2\r\n") as program,
        a_relay(*arguments, nats_url=program.url, log_level="debug") as wrong,
    ):
        assert await wrong.end() == 1

    assert refused.err == [f"The broker is not available: {REFUSED}.\n"]
    [sentence] = wrong.err
    assert "it does not greet as a NATS server does" in sentence
    assert "whistle" not in refused.output + wrong.output


async def test_the_parked_events_are_listed_without_a_broker(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    for argument in ("--parked", "--retry-parked"):
        async with a_relay(argument, nats_url=f"nats://127.0.0.1:{free_port()}") as process:
            assert await process.end() == 0
        assert process.err == []
