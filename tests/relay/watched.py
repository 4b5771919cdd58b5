# SPDX-License-Identifier: MIT
"""A relay with metrics and probes, as Prometheus and an orchestrator see it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from service.bootstrap import relay as relaying
from service.bootstrap.relay_pages import observing
from service.bootstrap.settings import RelaySettings
from tests.relay.conftest import StartRelay
from tests.running import NO_AUTHORITIES, eventually
from tests.system.processes import PATIENCE_SECONDS, Process, free_port

QUEUE = ("pending_events", "parked_events", "oldest_event_timestamp_seconds")
IMPATIENT = {
    "database_connect_timeout_seconds": 0.5,
    "relay_statement_timeout_seconds": 0.5,
    "relay_lease_seconds": 0.5,
    "nats_timeout_seconds": 0.5,
}
"""Settings with which a relay soon notices an outage."""


@dataclass
class Watched:
    url: str
    client: httpx2.AsyncClient
    process: Process | None = None

    async def answer(self, path: str) -> tuple[int, str]:
        response = await self.client.get(f"{self.url}{path}")
        return response.status_code, response.text.strip()

    async def until(self, path: str, status: int, text: str) -> None:
        async def answers() -> bool:
            return await self.answer(path) == (status, text)

        await eventually(answers)

    async def until_ready(self) -> None:
        async def is_ready() -> bool:
            return (await self.answer("/readyz"))[0] == HTTPStatus.OK

        await eventually(is_ready)

    async def scrape(self) -> dict[str, float]:
        """Values by name, with the values of labels."""
        _, text = await self.answer("/metrics")
        return {
            sample.name + "".join(f" {each}" for each in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def until_shown(self, **values: float) -> dict[str, float]:
        """Waits until these metrics of the relay have these values; returns all of them."""
        found: dict[str, float] = {}

        async def are_shown() -> bool:
            found.update(await self.scrape())
            return all(found.get(f"training_relay_{name}") == values[name] for name in values)

        await eventually(are_shown)
        return found

    async def queue(self) -> dict[str, float]:
        """The facts of the queue that it shows."""
        found = await self.scrape()
        return {name: found[key] for name in QUEUE if (key := f"training_relay_{name}") in found}


@asynccontextmanager
async def watched(start: StartRelay, **settings: Any) -> AsyncIterator[Watched]:
    """A relay in a process of its own."""
    port = free_port()
    async with start(metrics_port=port, **settings) as process, _client() as client:
        await process.line('"event": "metrics"')
        yield Watched(f"http://127.0.0.1:{port}", client, process)


@asynccontextmanager
async def watched_here(settings: RelaySettings, **overrides: Any) -> AsyncIterator[Watched]:
    """A relay in this process, whose parts a test may break."""
    port = free_port()
    settings = settings.model_copy(update={"metrics_port": port} | overrides)
    with observing(settings) as observers:
        async with (
            relaying.a_relay(settings, observe=observers.turn, step=observers.step) as relay,
            _client() as client,
        ):
            running = asyncio.create_task(relay.run())
            try:
                yield Watched(f"http://127.0.0.1:{port}", client)
            finally:
                relay.stop()
                await running


def _client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=PATIENCE_SECONDS, verify=NO_AUTHORITIES, trust_env=False)
