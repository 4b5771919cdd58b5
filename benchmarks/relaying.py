# SPDX-License-Identifier: MIT
"""Measures the service under load with and without its relay."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import psutil

from benchmarks.checks.expectations import DoesNotDoTheJob
from benchmarks.cluster import RELAY_LOGIN
from benchmarks.contenders.catalogue import CONTENDERS, ROOT, SERVICE
from benchmarks.fresh import Share
from benchmarks.load import Load
from benchmarks.measure import SETTLE_SECONDS, Bench, naming
from benchmarks.nats import Nats, serving_nats
from benchmarks.parts import Relayed
from benchmarks.plan import BASE
from benchmarks.processes import require_alive, running
from benchmarks.subjects import Setting, Subject, prepared
from service.dev.postgres import SUPERUSER

SECONDS = 10
START_SECONDS = 2
SAMPLE_SECONDS = 0.25
PATIENCE_SECONDS = 120
POLL_SECONDS = 0.05

EMPTY = "TRUNCATE outbox", "CHECKPOINT"
COUNT_EVENTS = "SELECT count(*) FROM events"
COUNT_QUEUED = "SELECT count(*) FROM outbox"
AGE = """
    SELECT extract(epoch FROM clock_timestamp() - occurred_at)::float8
    FROM (SELECT user_id, event_id FROM outbox ORDER BY position LIMIT 1) AS oldest
        JOIN events ON (events.user_id, events.id) = (oldest.user_id, event_id)
"""


def relayed(bench: Bench, round_: int) -> Iterator[Relayed]:
    """Runs once without and once with the relay on one server; the order changes each round.

    Raises CannotMeasure, also if the stream does not hold each event once.
    """
    contender = CONTENDERS[SERVICE]
    with (
        naming("the relay"),
        bench.setting(contender, BASE) as setting,
        prepared(contender, setting) as subject,
    ):
        subject.check()
        subject.load(bench.warm_up, bench.plan.warm_up)
        count = (bench.fresh.count - bench.warm_up.count) // 2
        for place, with_relay in enumerate((round_ % 2 == 0, round_ % 2 == 1)):
            share = Share(bench.warm_up.count + place * count, count)
            _start_afresh(setting)
            if with_relay:
                yield _with_relay(bench, round_, setting, subject, share)
            else:
                yield _seen(round_, subject.load(share, SECONDS), with_relay=False)


def _start_afresh(setting: Setting) -> None:
    """Empties the queue and writes to disk, so that no run has work of the one before it."""
    assert setting.database  # noqa: S101  the service has one
    time.sleep(SETTLE_SECONDS)  # until requests of the earlier clients have ended
    setting.cluster.execute(setting.database, *EMPTY)
    os.sync()


def _with_relay(
    bench: Bench, round_: int, setting: Setting, subject: Subject, share: Share
) -> Relayed:
    with _relaying(setting, bench.plan.nats_sync) as relay:
        time.sleep(START_SECONDS)
        with _ages_of_oldest(setting) as ages:
            seen = subject.load(share, SECONDS)
        behind = relay.wait_until_idle()
        time.sleep(SETTLE_SECONDS)  # until requests of the clients have ended
        relay.wait_until_idle()
        relay.require_each_event_once()
    return _seen(round_, seen, with_relay=True, ages=ages, behind=behind)


def _seen(round_: int, seen: Load, *, with_relay: bool, **of_relay: Any) -> Relayed:
    return Relayed(
        round=round_,
        with_relay=with_relay,
        requests_per_second=seen.succeeded / seen.seconds,
        p50=seen.p50,
        p99=seen.p99,
        errors=seen.errors,
        **of_relay,
    )


@contextmanager
def _relaying(setting: Setting, sync: str) -> Iterator["_Relay"]:
    """Runs the relay as it ships, with a new NATS server."""
    assert setting.database  # noqa: S101  it is nothing without one
    with serving_nats(sync) as nats:
        environment = {
            "SERVICE_DATABASE_URL": setting.cluster.url(setting.database, RELAY_LOGIN),
            "SERVICE_NATS_URL": nats.url,
            "SERVICE_LOG_LEVEL": "warning",
        }
        already = _count(setting, COUNT_EVENTS)
        command = [sys.executable, "-m", "service", "relay", "--ensure-stream"]
        with running(command, environment=environment, directory=ROOT) as process:
            yield _Relay(setting, nats, process, already)


@dataclass(frozen=True)
class _Relay:
    """`already`: the number of events before the load."""

    setting: Setting
    nats: Nats
    process: psutil.Process
    already: int

    def wait_until_idle(self) -> float:
        """Waits until the queue is empty; returns the seconds. Raises DoesNotDoTheJob."""
        begun = time.monotonic()
        while _count(self.setting, COUNT_QUEUED):
            require_alive(self.process)
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise DoesNotDoTheJob("The relay does not get through with the outbox.")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begun

    def require_each_event_once(self) -> None:
        written = _count(self.setting, COUNT_EVENTS) - self.already
        published = self.nats.messages()
        if published != written:
            raise DoesNotDoTheJob(f"{written:,} events, but {published:,} messages.")


def _count(setting: Setting, query: str) -> int:
    assert setting.database  # noqa: S101  the relay has one
    return int(setting.cluster.value(setting.database, query))


@contextmanager
def _ages_of_oldest(setting: Setting) -> Iterator[list[float]]:
    """Samples the age of the oldest unpublished event, in seconds."""
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
