"""A broker and a database for each test, and the relay between them as a process."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.nats_server import NatsServer, a_nats_server
from tests.running import TestDatabase
from tests.system.processes import Process, started

StartRelay = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
async def broker() -> AsyncIterator[NatsServer]:
    async with a_nats_server() as server:
        yield server


@pytest.fixture
async def stream(broker: NatsServer) -> NatsServer:
    """The broker, with a stream as the relay wants it."""
    await broker.make_stream()
    return broker


def relay_environment(
    database: TestDatabase, broker: NatsServer, **settings: Any
) -> Mapping[str, str]:
    facts = {"database_url": database.api_url, "nats_url": broker.url} | settings
    return {f"SERVICE_{name}".upper(): str(value) for name, value in facts.items()}


@pytest.fixture
def a_relay(database: TestDatabase, broker: NatsServer) -> StartRelay:
    """Starts `relay` with these arguments, and settings by keyword."""

    def start(*arguments: str, **settings: Any) -> AbstractAsyncContextManager[Process]:
        environment = relay_environment(database, broker, **settings)
        return started("relay", *arguments, environment=environment)

    return start
