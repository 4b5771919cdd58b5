# SPDX-License-Identifier: MIT
"""python -m benchmarks.draining: measures the cost of publishing queued events.

Nothing else runs, so that all work of PostgreSQL is for the relay.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nats
import psutil
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from pydantic import SecretStr

from benchmarks import cluster
from benchmarks.cluster import RELAY_LOGIN, Cluster
from benchmarks.contenders.catalogue import ROOT
from benchmarks.machine import warn_about_python
from benchmarks.nats import Nats, serving_nats
from benchmarks.processes import cpu_seconds, running
from service.bootstrap import migrations as migrate
from service.bootstrap.settings import DatabaseSettings
from service.dev.postgres import SUPERUSER

DATABASE = "drained"
START_SECONDS = 2
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 60
STREAM = StreamConfig(
    name="TRAINING_SESSIONS",
    subjects=["training.session.v1.>"],
    storage=StorageType.FILE,
    discard=DiscardPolicy.NEW,
    duplicate_window=120,
)

MAKE = (
    "SET session_replication_role = replica",  # no foreign keys to check
    """
    INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
        occurred_at, request_id)
    SELECT gen_random_uuid(), uuidv7(), gen_random_uuid(), 2, 'session_failed',
        '{{"reason": "shoulder pain"}}', now(), gen_random_uuid()::text
    FROM generate_series(1, {events})
    """,
    "VACUUM ANALYZE events",
)
QUEUE = "INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM events ORDER BY id"
IS_WAITING = "SELECT EXISTS (SELECT FROM outbox)"


def main() -> None:
    options = _parser().parse_args()
    warn_about_python()
    with (
        cluster.running(options.data / "postgres", {}) as postgres,
        serving_nats(options.nats_sync) as broker,
    ):
        _make_database(postgres, options.events)
        asyncio.run(_make_stream(broker, batches=not options.one_by_one))
        with _relay(postgres, broker) as relay:
            seconds, spent = _drained(postgres, [relay, broker.process, postgres.process])
    each = [f"{seconds * 1e6 / options.events:.0f}" for seconds in spent]
    print(f"{options.events / seconds:,.0f} events/s")
    print("{} us of relay, {} us of NATS, {} us of PostgreSQL for each".format(*each))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.draining", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, metavar="N")
    parser.add_argument("--nats-sync", default="always", metavar="INTERVAL")
    parser.add_argument("--one-by-one", action="store_true", help="a stream without batches")
    parser.add_argument("--data", type=Path, default=Path(".data/benchmarks"))
    return parser


def _make_database(postgres: Cluster, events: int) -> None:
    postgres.execute(
        "postgres",
        f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)",
        f"CREATE DATABASE {DATABASE} TEMPLATE template0",
    )
    url = SecretStr(postgres.url(DATABASE, SUPERUSER))
    migrate.migrate(DatabaseSettings(database_url=url), grant_relay_to=RELAY_LOGIN)
    postgres.execute(DATABASE, *(statement.format(events=events) for statement in MAKE))


async def _make_stream(broker: Nats, *, batches: bool) -> None:
    client = await nats.connect(broker.url)
    await client.jetstream().add_stream(STREAM.evolve(allow_atomic=batches))
    await client.close()


@contextmanager
def _relay(postgres: Cluster, broker: Nats) -> Iterator[psutil.Process]:
    environment = {
        "SERVICE_DATABASE_URL": postgres.url(DATABASE, RELAY_LOGIN),
        "SERVICE_NATS_URL": broker.url,
        "SERVICE_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "service", "relay"]
    with running(command, environment=environment, directory=ROOT) as process:
        time.sleep(START_SECONDS)
        yield process


def _drained(
    postgres: Cluster, processes: Sequence[psutil.Process]
) -> tuple[float, Sequence[float]]:
    """The duration, and the processor time of each process, in seconds."""
    postgres.execute(DATABASE, QUEUE)
    begun = time.monotonic()
    before = [cpu_seconds(each) for each in processes]
    while postgres.value(DATABASE, IS_WAITING):
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise TimeoutError("The relay does not get through with the outbox.")
        time.sleep(POLL_SECONDS)
    took = time.monotonic() - begun
    after = [cpu_seconds(each) for each in processes]
    return took, [end - start for start, end in zip(before, after, strict=True)]


if __name__ == "__main__":
    main()
