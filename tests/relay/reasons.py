# SPDX-License-Identifier: MIT
"""Why the relay cannot use a NATS server, in the words that people see."""

from unittest.mock import patch

import pytest

from service.relay import client, connection, hearing, link
from service.relay.connection import Connection
from service.relay.errors import BrokerUnavailable
from service.relay.servers import parse_servers
from service.relay.stream_api import StreamApi
from tests.nats_server import STREAM

SECONDS = 60
SILENCE_SECONDS = client.CONNECT_SECONDS


async def reason_for(urls: str, *, patience: float = SECONDS) -> str:
    """Looks for the stream, which the server refuses or does not have.

    `patience`: how long the server may take for its first words, in seconds.
    """
    with (
        patch.object(link, "CONNECT_SECONDS", patience),
        patch.object(hearing, "HEAR_SECONDS", patience),
        patch.object(connection, "FIRST_ANSWER_SECONDS", 2 * SECONDS),
        pytest.raises(BrokerUnavailable) as raised,
    ):
        async with Connection(parse_servers(urls), seconds=SECONDS).open() as connected:
            await StreamApi(connected, STREAM).state()
    return str(raised.value)
