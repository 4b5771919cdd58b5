# SPDX-License-Identifier: MIT
"""The probes of a relay: in outages, while it stands by, and while it is stuck."""

import asyncio
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2
import pytest
from pydantic import SecretStr

from service.bootstrap import relay_pages
from service.bootstrap.settings import RelaySettings
from service.relay import health
from service.relay.broker import Broker
from tests.documents.blocks import block
from tests.documents.console import shown_in, typed
from tests.group_commit.proxy import Cut, a_proxy
from tests.nats_server import NatsServer
from tests.relay.conftest import LONG_LEASE, StartRelay, is_empty
from tests.relay.queue import an_event
from tests.relay.watched import IMPATIENT, watched, watched_here
from tests.running import TestDatabase, eventually
from tests.system.processes import PATIENCE_SECONDS

A_SECOND = 1.0


@pytest.mark.usefixtures("stream")
async def test_an_active_relay_and_a_standby_are_ready(a_relay: StartRelay) -> None:
    async with watched(a_relay, **LONG_LEASE) as first:
        await first.until("/readyz", 200, "active")
        async with watched(a_relay, **LONG_LEASE) as second:
            await second.until("/readyz", 200, "standby")
            for each in (first, second):
                assert await each.answer("/livez") == (200, "alive")


async def test_a_relay_without_a_stream_is_alive_but_not_ready(
    broker: NatsServer, a_relay: StartRelay
) -> None:
    async with watched(a_relay) as relay:
        await relay.until("/readyz", 503, "broker unavailable")
        assert await relay.answer("/livez") == (200, "alive")
        [shown] = shown_in(block("docs/events.md", "$ curl -s"))
        curl = shown.typed.replace("localhost:9464", relay.url)
        assert await typed(curl) == shown.output
        await broker.make_stream()
        await relay.until("/readyz", 200, "active")
        assert await typed(curl) == "active\n200\n"


@pytest.mark.parametrize("outage", ["stopped", "frozen"])
async def test_relays_are_alive_but_not_ready_while_the_broker_is_away(
    stream: NatsServer, a_relay: StartRelay, database: TestDatabase, outage: str
) -> None:
    async with watched(a_relay, **IMPATIENT) as first, watched(a_relay, **IMPATIENT) as second:
        for relay in (first, second):
            await relay.until_ready()
        await (stream.stop() if outage == "stopped" else stream.freeze())
        await an_event(database, await database.a_session(), 1)
        for relay in (first, second):
            await relay.until("/readyz", 503, "broker unavailable")
            assert await relay.answer("/livez") == (200, "alive")
        if outage == "stopped":
            await stream.start()
        else:
            stream.thaw()
        await eventually(lambda: is_empty(database))
        for relay in (first, second):
            await relay.until_ready()


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize(
    "cut", [Cut.BEFORE_COMMIT, Cut.VANISHED_BEFORE], ids=["cut off", "without an answer"]
)
async def test_a_relay_is_alive_but_not_ready_while_the_database_is_away(
    database: TestDatabase, a_relay: StartRelay, cut: Cut
) -> None:
    async with a_proxy(database.relay_url) as proxy:
        proxy.moment = b"BEGIN;"
        async with watched(a_relay, database_url=proxy.url, **IMPATIENT) as relay:
            await relay.until("/readyz", 200, "active")
            proxy.cuts = [cut] * 10_000
            await relay.until("/readyz", 503, "database unavailable")
            assert await relay.answer("/livez") == (200, "alive")
            proxy.cuts = []
            await relay.until("/readyz", 200, "active")


@pytest.mark.usefixtures("stream")
async def test_a_standby_that_is_cut_off_from_the_database_says_so_and_takes_over_afterwards(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    """Its connections stay open, and nothing arrives, so that only time limits can tell."""
    async with (
        a_proxy(database.relay_url) as proxy,
        watched(a_relay, **LONG_LEASE) as first,
    ):
        proxy.moment = b"BEGIN;"
        await first.until("/readyz", 200, "active")
        async with watched(a_relay, database_url=proxy.url, **IMPATIENT) as second:
            await second.until("/readyz", 200, "standby")
            proxy.cuts = [Cut.VANISHED_BEFORE] * 10_000
            await second.until("/readyz", 503, "database unavailable")
            assert await second.answer("/livez") == (200, "alive")
            assert await first.answer("/readyz") == (200, "active")
            assert first.process
            first.process.signal(signal.SIGKILL)
            proxy.cuts = []
            await second.until("/readyz", 200, "active")


def test_the_limit_for_stuck_includes_a_time_limit_for_connecting_that_the_url_has(
    settings: RelaySettings,
) -> None:
    url = SecretStr("postgresql://training_relay@db.example.com/gym?connect_timeout=60")
    patient = settings.model_copy(update={"database_url": url})

    more = relay_pages.stuck_after(patient) - relay_pages.stuck_after(settings)
    assert more == 60 - settings.database_connect_timeout_seconds


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, settings: RelaySettings) -> RelaySettings:
    """A relay with these settings counts as stuck after a second, and as dead after two."""
    monkeypatch.setattr(relay_pages, "stuck_after", lambda _: A_SECOND)
    monkeypatch.setattr(health, "STUCK_FACTOR", 2)
    return settings


@pytest.mark.usefixtures("stream")
async def test_a_relay_whose_turn_never_ends_is_stuck_until_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, database: TestDatabase, impatient: RelaySettings
) -> None:
    goes_on = asyncio.Event()

    async def publish(_self: Broker, _event: object) -> bool:
        await goes_on.wait()
        return False

    monkeypatch.setattr(Broker, "publish", publish)
    async with watched_here(impatient) as relay:
        await relay.until("/readyz", 200, "active")
        await an_event(database, await database.a_session(), 1)
        await relay.until("/readyz", 503, "stuck")
        await relay.until("/livez", 503, "stuck")
        assert await relay.queue() == {}
        goes_on.set()
        await relay.until("/readyz", 200, "active")
        await relay.until("/livez", 200, "alive")


@pytest.mark.usefixtures("stream")
async def test_probes_are_answered_while_the_event_loop_is_stuck(
    impatient: RelaySettings,
) -> None:
    async with watched_here(impatient) as relay:
        await relay.until("/readyz", 200, "active")
        with ThreadPoolExecutor(1) as thread:
            _stand_still_until(thread.submit(_until_dead, relay.url))
        await relay.until("/readyz", 200, "active")


@pytest.mark.usefixtures("stream")
async def test_refuses_a_port_that_is_taken_in_a_sentence(a_relay: StartRelay) -> None:
    async with watched(a_relay) as first:
        port = httpx2.URL(first.url).port
        async with a_relay(metrics_port=port) as second:
            assert await second.end() == 1

    assert second.err == [f"127.0.0.1:{port} cannot serve metrics: Address already in use.\n"]


@pytest.mark.usefixtures("stream")
async def test_ends_at_sigterm_with_its_port_open(a_relay: StartRelay) -> None:
    async with watched(a_relay) as relay:
        assert relay.process
        await relay.until("/readyz", 200, "active")
        relay.process.signal(signal.SIGTERM)

        assert await relay.process.end() == 0


def _stand_still_until(done: Future[None]) -> None:
    """Blocks the event loop, which is why the probe runs in a thread."""
    done.result(PATIENCE_SECONDS)


def _get(url: str) -> httpx2.Response:
    return httpx2.get(url, timeout=PATIENCE_SECONDS, trust_env=False)


def _until_dead(url: str) -> None:
    for path in ("/readyz", "/livez"):
        while (answer := _get(url + path)).status_code != 503:
            time.sleep(0.01)
        assert answer.text == "stuck\n"
