"""One user sends thousands of commands at once, beside others who send one after another."""

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from benchmarks.contenders.catalogue import CONTENDERS, SERVICE
from benchmarks.fresh import Fresh
from benchmarks.load import LoadFailed
from benchmarks.measure import Bench, naming
from benchmarks.plan import BASE
from benchmarks.results import Flooded
from benchmarks.subjects import started

FLOOD = 5000
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
        time.sleep(WARM_UP_SECONDS)
        begun = time.monotonic()
        time.sleep(USUAL_SECONDS)
        flooder.send("go")
        if not flooder.poll(PATIENCE_SECONDS):
            raise LoadFailed("the flood was not answered")
        start, end, statuses = flooder.recv()
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
    start = time.monotonic()
    statuses = await asyncio.gather(*(_send_one(url, request) for _ in range(FLOOD)))
    return start, time.monotonic(), statuses


class _One(asyncio.Protocol):
    """Sends the request, and closes the connection after its answer; cheaper than streams."""

    def __init__(self, request: bytes, answer: asyncio.Future[int]) -> None:
        self._request = request
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, complete, body = self._received.partition(b"\r\n\r\n")
        if complete and len(body) >= _length(head):
            self._answer.set_result(_status_in(head))
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_result(0)


async def _send_one(url: str, request: bytes) -> int:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int] = loop.create_future()
    try:
        await loop.create_connection(lambda: _One(request, answer), *_place(url))
    except OSError:
        return 0
    return await answer


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(_length(head))
    return _status_in(head)


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next(int(each[15:]) for each in lines if each.startswith(b"content-length:"))


def _status_in(head: bytes) -> int:
    return int(head.split(maxsplit=2)[1])


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0
