# SPDX-License-Identifier: MIT
"""One answer for several workers: each reports its counts to the process that supervises them.

A report holds all counts since the start of the worker, so that a lost one does no harm. The counts
of a worker that has ended are kept, and its gauges are not. A worker that is killed takes with it
what it has counted since its last report.
"""

import asyncio
import os
import secrets
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import orjson

from service.observability.catalogue import API, READY, WORKER_STARTS, WORKERS
from service.observability.families import Snapshot, cumulative, merge

PERIOD_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""After this time without a report the gauges of a worker are left out: it is stuck, or killed."""

ONE_WORKER: Snapshot = {WORKERS.name: {(): [1.0]}, WORKER_STARTS.name: {(): [1.0]}}

REPORT_MAX_BYTES = 1024 * 1024
_COMPRESSION = 1


def summed(*snapshots: Snapshot) -> Snapshot:
    """Of a whole replica, which is not ready while it has no worker."""
    together = merge(API, snapshots)
    for name in (READY.name, WORKERS.name):
        together[name].setdefault((), [0.0])
    return together


def open_channel() -> tuple[socket.socket, socket.socket]:
    """The end that receives, and the end that workers inherit."""
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REPORT_MAX_BYTES)
    return receiver, sender


class Reporter:
    """A worker's end. `take` is called in the event loop."""

    def __init__(self, sender: socket.socket, take: Callable[[], Snapshot]) -> None:
        self._sender = sender
        self._sender.setblocking(False)
        self._take = take
        self._worker = f"{os.getpid()}-{secrets.token_hex(8)}"

    def report(self) -> None:
        samples = {
            name: list(samples.items()) for name, samples in (self._take() | ONE_WORKER).items()
        }
        message = orjson.dumps([self._worker, os.getpid(), samples])
        with suppress(OSError):  # the supervisor does not read at the moment, or has gone
            self._sender.send(zlib.compress(message, _COMPRESSION))

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        task = asyncio.get_running_loop().create_task(self._report_regularly())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.report()

    async def _report_regularly(self) -> None:
        while True:
            self.report()
            await asyncio.sleep(PERIOD_SECONDS)


@dataclass(frozen=True, slots=True)
class _Report:
    pid: int
    received_at: float
    snapshot: Snapshot


class Workers:
    """The supervisor's end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: dict[str, _Report] = {}
        self._ended: Snapshot = {}
        self._ended_workers: set[str] = set()

    @contextmanager
    def receiving(self, receiver: socket.socket) -> Iterator[None]:
        """Receives reports in a thread. The block must close the channel's other end at its end."""
        thread = threading.Thread(target=self._receive, args=(receiver,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            receiver.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _receive(self, receiver: socket.socket) -> None:
        while message := receiver.recv(REPORT_MAX_BYTES):
            self.add(message)

    def add(self, message: bytes) -> None:
        worker, pid, samples = orjson.loads(zlib.decompress(message))
        snapshot = {
            name: {tuple(labels): value for labels, value in each} for name, each in samples.items()
        }
        with self._lock:
            if worker not in self._ended_workers:
                self._latest[worker] = _Report(pid, self._clock(), snapshot)

    def snapshot(self) -> Snapshot:
        """The sum of all workers. May be taken in any thread."""
        with self._lock:
            for worker, report in list(self._latest.items()):
                if not _is_running(report.pid):
                    self._end(worker)
            now = self._clock()
            heard = [
                report.snapshot
                if now - report.received_at <= SILENT_SECONDS
                else cumulative(API, report.snapshot)
                for report in self._latest.values()
            ]
            return merge(API, [self._ended, *heard])

    def _end(self, worker: str) -> None:
        report = self._latest.pop(worker)
        self._ended_workers.add(worker)
        self._ended = merge(API, [self._ended, cumulative(API, report.snapshot)])


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
