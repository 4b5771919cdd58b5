# SPDX-License-Identifier: MIT
"""Why the relay cannot use a NATS server, in the words that people see."""

import pytest

from service.relay.connection import Connection
from service.relay.errors import BrokerUnavailable
from service.relay.servers import parse_servers
from service.relay.stream_api import StreamApi
from tests.nats_server import STREAM

SECONDS = 2


async def reason_for(urls: str) -> str:
    """Looks for the stream, which the server refuses or does not have."""
    with pytest.raises(BrokerUnavailable) as raised:
        async with Connection(parse_servers(urls), seconds=SECONDS).open() as connection:
            await StreamApi(connection, STREAM).state()
    return str(raised.value)
