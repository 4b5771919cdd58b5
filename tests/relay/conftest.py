# SPDX-License-Identifier: MIT
"""A broker and a database for each test, and the relay between them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from pydantic import SecretStr

from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.relay.observing import ObservedTurn
from tests.nats_server import NatsServer, a_nats_server
from tests.running import TestDatabase, eventually
from tests.system.processes import Process, started

StartRelay = Callable[..., AbstractAsyncContextManager[Process]]

LONG_LEASE = {"relay_lease_seconds": 60}
"""For an active relay of two: on a starved machine it would lose a lease of a second."""


@pytest.fixture
async def broker() -> AsyncIterator[NatsServer]:
    async with a_nats_server() as server:
        yield server


@pytest.fixture
async def stream(broker: NatsServer) -> NatsServer:
    """The broker, with a stream that fits the relay."""
    await broker.make_stream()
    return broker


def relay_environment(
    database: TestDatabase, broker: NatsServer, **settings: Any
) -> Mapping[str, str]:
    facts = {"database_url": database.relay_url, "nats_url": broker.url} | settings
    return {f"SERVICE_{name}".upper(): str(value) for name, value in facts.items()}


@pytest.fixture
def a_relay(database: TestDatabase, broker: NatsServer) -> StartRelay:
    """Starts `relay` with these arguments, and settings by keyword."""

    def start(*arguments: str, **settings: Any) -> AbstractAsyncContextManager[Process]:
        environment = relay_environment(database, broker, **settings)
        return started("relay", *arguments, environment=environment)

    return start


Relay = Callable[..., Awaitable[list[ObservedTurn]]]


@pytest.fixture
def settings(database: TestDatabase, broker: NatsServer) -> RelaySettings:
    return RelaySettings(database_url=SecretStr(database.relay_url), nats_url=SecretStr(broker.url))


@pytest.fixture
def relay(database: TestDatabase, settings: RelaySettings) -> Relay:
    """Runs a relay in this process until the queue is empty; returns its observed turns."""

    async def run(**overrides: Any) -> list[ObservedTurn]:
        seen: list[ObservedTurn] = []
        changed = settings.model_copy(update=overrides)
        async with relaying.a_relay(changed, observe=seen.append) as relay:
            running = asyncio.create_task(relay.run())
            await eventually(lambda: is_empty(database))
            relay.stop()
            await running
        return seen

    return run


async def is_empty(database: TestDatabase) -> bool:
    return not await database.outbox()
