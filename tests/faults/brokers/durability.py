# SPDX-License-Identifier: MIT
"""What an acknowledged message survives: each case harms brokers after events were published."""

import asyncio
import re
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nats.errors import Error as NatsError

from tests.chaos.disks import Disk
from tests.faults.brokers.power import (
    a_disk_that_loses_power,
    keep_what_was_flushed,
    lose_the_rest,
)
from tests.nats_cluster import NatsCluster, a_nats_cluster
from tests.nats_server import NatsServer
from tests.relay.conftest import is_empty
from tests.relay.queue import many_events
from tests.running import TestDatabase, eventually
from tests.system.processes import Finished, finished, free_port, started

SINCE = "2026-01-01T00:00:00Z"
SESSIONS, EACH = 100, 3
REPLAYS_MAX, PAUSE_SECONDS = 10, 1
MISSING = "is missing"


@dataclass(frozen=True)
class Machine:
    server: NatsServer
    disk: Disk


Harm = Callable[[Sequence[Machine]], Awaitable[None]]


async def kill(machines: Sequence[Machine]) -> None:
    """The memory of the system stays, so that this is no power cut."""
    await asyncio.gather(*(each.server.stop(signal.SIGKILL) for each in machines))
    await _start(machines)


async def cut_power(machines: Sequence[Machine]) -> None:
    await asyncio.gather(*(each.server.freeze() for each in machines))
    for each in machines:
        keep_what_was_flushed(each.disk)
    await asyncio.gather(*(each.server.stop(signal.SIGKILL) for each in machines))
    for each in machines:
        lose_the_rest(each.disk)
    await _start(machines)


async def lose_disks(machines: Sequence[Machine]) -> None:
    await asyncio.gather(*(each.server.stop(signal.SIGKILL) for each in machines))
    for each in machines:
        shutil.rmtree(each.server.home / "store")
    await _start(machines)


async def _start(machines: Sequence[Machine]) -> None:
    await asyncio.gather(*(each.server.start() for each in machines))


@dataclass(frozen=True)
class Case:
    """`harmed`: how many of the brokers; the leader is among them."""

    what: str
    brokers: int
    sync: str | None
    harm: Harm
    harmed: int

    @property
    def name(self) -> str:
        return f"{self.what}, {self.brokers} of sync_interval {self.sync or 'default'}"


def _cases() -> list[Case]:
    one = {"the process killed (-9)": kill, "power cut": cut_power, "the disk lost": lose_disks}
    three = [
        ("all processes killed (-9) at once", kill, 3),
        ("power cut of one", cut_power, 1),
        ("power cut of all at once", cut_power, 3),
        ("one disk lost", lose_disks, 1),
        ("two disks lost", lose_disks, 2),
    ]
    return [
        case
        for sync in (None, "always")
        for case in (
            *(Case(what, 1, sync, harm, 1) for what, harm in one.items()),
            *(Case(what, 3, sync, harm, harmed) for what, harm, harmed in three),
        )
    ]


CASES = {case.name: case for case in _cases()}


@dataclass(frozen=True, kw_only=True)
class Survived:
    """`lost`: by the audit. `audit`, `replay`, `again` (the second audit): exit codes.

    `must_empty_all`: the brokers accepted no new stream until the others had lost their disks too.
    """

    acknowledged: int
    lost: int
    is_stream_missing: bool
    must_empty_all: bool
    audit: int
    replay: int
    again: int
    words: str = ""

    @property
    def is_mended(self) -> bool:
        """True if the audit found each loss, and the replay mended it."""
        return (self.audit == 0) == (self.lost == 0) and self.replay == self.again == 0


async def survive(case: Case, database: TestDatabase, place: Path) -> Survived:
    async with _machines(case, place) as (machines, url):
        environment = {"SERVICE_DATABASE_URL": database.relay_url, "SERVICE_NATS_URL": url}
        environment["SERVICE_NATS_STREAM_REPLICAS"] = str(case.brokers)
        relay = partial(finished, "relay", environment=environment)
        ids = await many_events(database, sessions=SESSIONS, each=EACH)
        async with started("relay", environment=environment):
            await eventually(lambda: is_empty(database))
        await case.harm(machines[: case.harmed])
        await _answered(machines)
        audit = await relay("--audit")
        replay = await _replayed(relay)
        must_empty_all = replay.code != 0
        if must_empty_all:
            await lose_disks(machines[case.harmed :])
            replay = await _replayed(relay)
        again = await relay("--audit")
        missing = MISSING in audit.out + audit.err
        return Survived(
            acknowledged=len(ids),
            lost=len(ids) if missing else _lost(audit),
            is_stream_missing=missing,
            must_empty_all=must_empty_all,
            audit=audit.code,
            replay=replay.code,
            again=again.code,
            words="\n".join(each.out[-500:] + each.err[-500:] for each in (audit, replay, again)),
        )


async def _replayed(relay: Callable[..., Awaitable[Finished]]) -> Finished:
    """Repeats the replay as an operator does while brokers with empty disks find each other."""
    for _ in range(REPLAYS_MAX):
        replay = await relay("--ensure-stream", "--replay", "--since", SINCE)
        if not replay.code:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return replay


@asynccontextmanager
async def _machines(case: Case, place: Path) -> AsyncIterator[tuple[list[Machine], str]]:
    """The leader first; and the URL of all."""
    disk = a_disk_that_loses_power
    if case.brokers == 1:
        with disk(place / "broker") as own:
            server = NatsServer(own.place, free_port(), sync=case.sync)
            await server.start()
            try:
                await server.make_stream()
                yield [Machine(server, own)], server.url
            finally:
                await server.stop()
        return
    async with a_nats_cluster(place, sync=case.sync, disk=disk) as cluster:
        await cluster.make_stream()
        yield await _leader_first(cluster), cluster.url


async def _leader_first(cluster: NatsCluster) -> list[Machine]:
    leader = await cluster.leader()
    nodes = [leader, *(node for node in cluster.nodes if node is not leader)]
    return [Machine(node.server, node.disk) for node in nodes]


async def _answered(machines: Sequence[Machine]) -> None:
    """Waits until JetStream answers through each broker, whether it has the stream or not."""

    async def answers() -> bool:
        with suppress(NatsError, TimeoutError, OSError):
            for each in machines:
                await each.server.has_stream()
            return True
        return False

    await eventually(answers)


def _lost(audit: Finished) -> int:
    found = re.search(r"(\d+) lost", audit.out)
    assert found, audit
    return int(found[1])
