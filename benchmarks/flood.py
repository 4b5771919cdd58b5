# SPDX-License-Identifier: MIT
"""One user sends thousands of commands at once, beside others who send one after another."""

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from urllib.parse import urlsplit

from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.fresh import Fresh
from benchmarks.load import LoadFailed
from benchmarks.measure import Bench, naming
from benchmarks.parts import Flooded
from benchmarks.plan import BASE
from benchmarks.subjects import started

FLOOD = 5000
CONNECTIONS = 100
"""Of the flood, all of whose requests are written at once."""

OTHERS = 50
WARM_UP_SECONDS = 2
USUAL_SECONDS = 4
SECONDS = WARM_UP_SECONDS + USUAL_SECONDS + 10
"""A bound on the time of the flood, for preparing enough requests."""

PATIENCE_SECONDS = 60
LOW_PRIORITY = 10


@dataclass(frozen=True, slots=True)
class Request:
    """Times of `time.monotonic`, which is the same in all processes."""

    sent: float
    answered: float
    status: int

    @property
    def milliseconds(self) -> float:
        return 1000 * (self.answered - self.sent)


def flooded(bench: Bench, round_: int) -> Flooded:
    """Raises CannotMeasure."""
    contender = CONTENDERS[SERVICE]
    with (
        naming("the flood"),
        bench.setting(contender, BASE) as setting,
        started(contender, setting) as server,
        ThreadPoolExecutor(1) as thread,
        _flooder(server.url, next(_prepared(bench.fresh))) as flooder,
    ):
        others = _Others(server.url, bench.fresh)
        running = thread.submit(asyncio.run, others.run())
        try:
            time.sleep(WARM_UP_SECONDS)
            begun = time.monotonic()
            time.sleep(USUAL_SECONDS)
            flooder.send("go")
            if not flooder.poll(PATIENCE_SECONDS):
                raise LoadFailed("the flood was not answered")
            start, end, statuses = flooder.recv()
        finally:
            others.stop()
        seen = running.result()
    return summary(round_, seen, Counter(statuses), usual_from=begun, start=start, end=end)


def summary(
    round_: int,
    others: Sequence[Request],
    flood: Counter[int],
    *,
    usual_from: float,
    start: float,
    end: float,
) -> Flooded:
    """Compares requests that were under way during the flood with those answered before it."""
    usual = [each for each in others if usual_from <= each.sent and each.answered <= start]
    during = [each for each in others if each.answered > start and each.sent < end]
    if not usual or not during:
        raise LoadFailed("the others got no answers")
    return Flooded(
        round=round_,
        usual=median(each.milliseconds for each in usual),
        during=median(each.milliseconds for each in during),
        requests=len(during),
        seconds=end - start,
        answers=_by_status(flood),
        answers_of_others=_by_status(Counter(each.status for each in (*usual, *during))),
    )


def _by_status(statuses: Counter[int]) -> dict[str, int]:
    return {str(status): number for status, number in sorted(statuses.items())}


def _prepared(fresh: Fresh) -> Iterator[bytes]:
    requests = BASE.kind, BASE.algorithm
    length = fresh.request_length(*requests)
    with fresh.requests(*requests).open("rb") as file:
        while request := file.read(length):
            yield request


class _Others:
    """Each sends prepared requests, one after another, on a connection of its own."""

    def __init__(self, url: str, fresh: Fresh) -> None:
        self._place = _place(url)
        self._requests = _prepared(fresh)
        next(self._requests)  # the flooder's
        self._goes_on = True

    def stop(self) -> None:
        self._goes_on = False

    async def run(self) -> list[Request]:
        each = await asyncio.gather(*(self._send() for _ in range(OTHERS)))
        return [request for requests in each for request in requests]

    async def _send(self) -> list[Request]:
        reader, writer = await asyncio.open_connection(*self._place)
        seen = []
        while self._goes_on:
            sent = time.monotonic()
            writer.write(next(self._requests))
            status = await _status(reader)
            seen.append(Request(sent, time.monotonic(), status))
        writer.close()
        return seen


@contextmanager
def _flooder(url: str, request: bytes) -> Iterator[Connection]:
    """A process of its own, of low priority: elsewhere it would be on another machine."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_flood, args=(url, request, theirs), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _flood(url: str, request: bytes, control: Connection) -> None:
    os.nice(LOW_PRIORITY)
    control.send(asyncio.run(_send_at_once(url, request, control)))


async def _send_at_once(
    url: str, request: bytes, control: Connection
) -> tuple[float, float, list[int]]:
    await asyncio.to_thread(control.recv)
    connections = [await asyncio.open_connection(*_place(url)) for _ in range(CONNECTIONS)]
    start = time.monotonic()
    for _, writer in connections:
        writer.write(request * (FLOOD // CONNECTIONS))
    answers = await asyncio.gather(*(_statuses(reader) for reader, _ in connections))
    return start, time.monotonic(), [status for each in answers for status in each]


async def _statuses(reader: asyncio.StreamReader) -> list[int]:
    """Of all answers on this connection; 0 for those that do not come."""
    statuses: list[int] = []
    with suppress(OSError, EOFError):
        while len(statuses) < FLOOD // CONNECTIONS:
            statuses.append(await _status(reader))
    return statuses + [0] * (FLOOD // CONNECTIONS - len(statuses))


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(each[15:]) for each in lines if each.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head.split(maxsplit=2)[1])


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0
