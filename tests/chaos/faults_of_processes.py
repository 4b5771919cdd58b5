# SPDX-License-Identifier: MIT
"""Faults of processes: killed, frozen, restarted, with wrong clocks, without space."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import psutil

from tests.chaos.balancer import is_ready
from tests.chaos.installation import Installation
from tests.chaos.nemesis import NotCaused
from tests.chaos.parts import Part
from tests.http.issuer import an_es256_key

READY_SECONDS = 15
OVERLAP_SECONDS = 1.0
"""How long the old key is published beside the new one."""


@asynccontextmanager
async def worker_killed(part: Part, _all: Installation, random: Random) -> AsyncIterator[None]:
    """The replica starts another worker by itself."""
    for worker in _one_of(part, random):
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    yield


@asynccontextmanager
async def worker_frozen(part: Part, _all: Installation, random: Random) -> AsyncIterator[None]:
    frozen = _one_of(part, random)
    for worker in frozen:
        with suppress(psutil.NoSuchProcess):
            worker.suspend()
    try:
        yield
    finally:
        for worker in frozen:
            with suppress(psutil.NoSuchProcess):
                worker.resume()


def _one_of(part: Part, random: Random) -> list[psutil.Process]:
    """A worker. Raises NotCaused while the replica starts."""
    workers = part.workers
    if not workers:
        raise NotCaused
    return random.sample(workers, 1)


@asynccontextmanager
async def ended(
    part: Part, number: signal.Signals, _all: Installation, _random: Random
) -> AsyncIterator[None]:
    await part.end(number)
    try:
        yield
    finally:
        await part.start()


@asynccontextmanager
async def frozen(
    part: Part, number: signal.Signals, _all: Installation, _random: Random
) -> AsyncIterator[None]:
    part.signal_all(number)
    try:
        yield
    finally:
        part.signal_all(signal.SIGCONT)


@asynccontextmanager
async def rolling_restart(all_: Installation, _random: Random) -> AsyncIterator[None]:
    """One replica and one relay after the other stops as in a deploy, and starts again."""
    for part in all_.parts:
        await part.end(signal.SIGTERM)
        await part.start()
        await _ready_again(part)
    yield


async def _ready_again(part: Part) -> None:
    """Goes on without it when another fault keeps it from being ready."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_SECONDS):
            while part.place and not await is_ready(part.place):  # noqa: ASYNC110  a process
                await asyncio.sleep(0.1)


@asynccontextmanager
async def broker_killed(all_: Installation, _random: Random) -> AsyncIterator[None]:
    await all_.broker.stop(signal.SIGKILL)
    try:
        yield
    finally:
        await all_.broker.start()


@asynccontextmanager
async def broker_frozen(all_: Installation, _random: Random) -> AsyncIterator[None]:
    await all_.broker.freeze()
    try:
        yield
    finally:
        all_.broker.thaw()


@asynccontextmanager
async def broker_disk_full(all_: Installation, _random: Random) -> AsyncIterator[None]:
    """A stream that could not be written stays so until nats-server starts again (2.15)."""
    try:
        async with all_.broker_disk.full():
            yield
    finally:
        await all_.broker.stop()
        await all_.broker.start()


@asynccontextmanager
async def keys_rotated(all_: Installation, random: Random) -> AsyncIterator[None]:
    """New tokens are signed with a new key; the old key is withdrawn after a while."""
    old, new = all_.key, an_es256_key(f"key-{random.randrange(10**6)}")
    all_.issuer.publish(old, new)
    all_.key = new
    await asyncio.sleep(OVERLAP_SECONDS)
    all_.issuer.publish(new)
    yield


@asynccontextmanager
async def clock_set(offset: str, all_: Installation, _random: Random) -> AsyncIterator[None]:
    assert all_.clock
    all_.clock.set(offset)
    try:
        yield
    finally:
        all_.clock.set("+0")
