"""This service under load with its relay on: does it keep up, and what does it cost?"""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import asyncpg

from benchmarks.checks.expectations import DoesNotDoTheJob
from benchmarks.contenders.catalogue import CONTENDERS, ROOT, SERVICE
from benchmarks.fresh import Share
from benchmarks.measure import Bench, naming
from benchmarks.nats import Nats, serving_nats
from benchmarks.plan import BASE
from benchmarks.processes import require_alive, running
from benchmarks.results import Relayed
from benchmarks.subjects import Setting, prepared
from service.embedded import SUPERUSER

SECONDS = 20
SAMPLE_SECONDS = 0.25
PATIENCE_SECONDS = 120
POLL_SECONDS = 0.05

COUNT_EVENTS = "SELECT count(*) FROM events"
COUNT_QUEUED = "SELECT count(*) FROM outbox"
AGE = """
    SELECT extract(epoch FROM clock_timestamp() - occurred_at)::float8
    FROM (SELECT user_id, event_id FROM outbox ORDER BY position LIMIT 1) AS oldest
        JOIN events ON (events.user_id, events.id) = (oldest.user_id, event_id)
"""


def relayed(bench: Bench, round_: int, *, with_relay: bool) -> Relayed:
    """Raises CannotMeasure, also where the stream does not hold each event once."""
    contender = CONTENDERS[SERVICE]
    measured = Share(bench.warm_up.count, bench.fresh.count - bench.warm_up.count)
    with (
        naming("the relay"),
        bench.setting(contender, BASE) as setting,
        prepared(contender, setting) as subject,
        ExitStack() as stack,
    ):
        relay = _Relay(setting, stack, bench.plan.nats_sync) if with_relay else None
        subject.check()
        subject.load(bench.warm_up, bench.plan.warm_up)
        if relay:
            relay.wait_until_idle()
        with _ages_of_oldest(setting) if relay else _nothing() as ages:
            seen = subject.load(measured, SECONDS)
        behind = relay.wait_until_idle() if relay else None
        if relay:
            relay.require_each_event_once()
    return Relayed(
        round=round_,
        with_relay=with_relay,
        requests_per_second=seen.succeeded / seen.seconds,
        p50=seen.p50,
        p99=seen.p99,
        errors=seen.errors,
        ages=ages,
        behind=behind,
    )


class _Relay:
    """A relay as it ships, and a NATS server of its own."""

    def __init__(self, setting: Setting, stack: ExitStack, sync: str) -> None:
        assert setting.database  # noqa: S101  it is nothing without one
        self._cluster, self._database = setting.cluster, setting.database
        self._events_before = self._count(COUNT_EVENTS)
        self._nats: Nats = stack.enter_context(serving_nats(sync))
        environment = {
            "SERVICE_DATABASE_URL": setting.cluster.url(setting.database),
            "SERVICE_NATS_URL": self._nats.url,
            "SERVICE_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "service", "relay", "--ensure-stream"]
        self._process = stack.enter_context(
            running(command, environment=environment, directory=ROOT)
        )

    def wait_until_idle(self) -> float:
        """For how long, in seconds. Raises DoesNotDoTheJob."""
        begun = time.monotonic()
        while self._count(COUNT_QUEUED):
            require_alive(self._process)
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise DoesNotDoTheJob("The relay does not get through with the outbox.")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begun

    def require_each_event_once(self) -> None:
        written = self._count(COUNT_EVENTS) - self._events_before
        published = self._nats.messages()
        if published != written:
            raise DoesNotDoTheJob(f"{written:,} events, but {published:,} messages.")

    def _count(self, query: str) -> int:
        return int(self._cluster.value(self._database, query))


@contextmanager
def _nothing() -> Iterator[list[float]]:
    yield []


@contextmanager
def _ages_of_oldest(setting: Setting) -> Iterator[list[float]]:
    """Of the oldest event that is not published yet, in seconds."""
    assert setting.database  # noqa: S101  the relay has one
    url = setting.cluster.url(setting.database, SUPERUSER)
    ages: list[float] = []
    stop = threading.Event()

    async def sample() -> None:
        connection = await asyncpg.connect(url)
        while not stop.is_set():
            ages.append(await connection.fetchval(AGE) or 0.0)
            await asyncio.sleep(SAMPLE_SECONDS)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=(sample(),))
    thread.start()
    try:
        yield ages
    finally:
        stop.set()
        thread.join()
