# SPDX-License-Identifier: MIT
"""python -m tests.prometheus DIRECTORY: pictures of the dashboards, from a run with three faults.

A worker is killed, the broker stands still, the database is away. Takes about eight minutes.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from tests.monitoring.deployed import dashboards
from tests.prometheus.expressions import panel_queries
from tests.prometheus.load import load
from tests.prometheus.pictures import draw
from tests.prometheus.recorded import SCRAPE_SECONDS, record
from tests.prometheus.stack import Stack, a_stack

LIVES_PER_SECOND = 8
MARGIN_SECONDS = 60


async def main(directory: Path) -> None:
    async with a_stack(scrape=f"{SCRAPE_SECONDS}s", evaluation="15s") as stack:
        start = time.time()
        moments = {}
        async with load(stack, lives_per_second=LIVES_PER_SECOND):
            await _said("all is well", stack, MARGIN_SECONDS)
            _kill_a_worker(stack)
            await _said("a worker was killed", stack, MARGIN_SECONDS)
            async with _broker_stands_still(stack):
                await _said("the broker stands still", stack, 150)
                moments["events"] = time.time()
            await _said("the broker goes on", stack, MARGIN_SECONDS)
            async with _database_away(stack):
                await _said("the database is away", stack, 100)
                moments["api"] = time.time()
            await _said("the database is back", stack, MARGIN_SECONDS)
        for name, moment in moments.items():
            queries = [query for query in panel_queries() if query.dashboard == name]
            recorded = await record(stack.prometheus, queries, start, moment)
            picture = directory / f"dashboard-{name}.png"
            draw(dashboards()[f"{name}.json"], recorded, picture)
            print(picture)


async def _said(words: str, stack: Stack, seconds: float) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)
    await asyncio.sleep(seconds)
    print(f"         firing: {', '.join(sorted(await stack.prometheus.firing())) or '-'}")


def _kill_a_worker(stack: Stack) -> None:
    workers = psutil.Process(stack.apis[0].running.pid).children()
    workers[-1].kill()


@asynccontextmanager
async def _broker_stands_still(stack: Stack) -> AsyncIterator[None]:
    await stack.nats.freeze()
    try:
        yield
    finally:
        stack.nats.thaw()


@asynccontextmanager
async def _database_away(stack: Stack) -> AsyncIterator[None]:
    await asyncio.to_thread(stack.postgres.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(stack.postgres.start)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
