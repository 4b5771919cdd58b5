# SPDX-License-Identifier: MIT
"""The relay ends if its login may do less or more than its work."""

import pytest

from tests.nats_server import NatsServer
from tests.relay.conftest import StartRelay
from tests.relay.queue import an_event
from tests.running import TestDatabase


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--ensure-stream"],
        ["--parked"],
        ["--retry-parked"],
        ["--replay", "--since", "2026-11-22T09:00:00Z"],
    ],
    ids=lambda arguments: " ".join(arguments) or "relay",
)
async def test_every_command_refuses_the_login_of_the_api(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay, arguments: list[str]
) -> None:
    await an_event(database, await database.a_session(), 1)

    async with a_relay(*arguments, database_url=database.api_url) as process:
        assert await process.end() == 1

    [sentence] = process.err
    assert sentence.startswith("The login of the relay may become session_service. ")
    assert "migrate --grant-relay-to LOGIN" in sentence
    assert await stream.count() == 0


async def test_refuses_the_login_that_migrates(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    async with a_relay(database_url=database.url) as process:
        assert await process.end() == 1

    assert process.err[0].startswith("The login of the relay is or may become a superuser")
