# SPDX-License-Identifier: MIT
"""Processes of the service, which are started again when they end, as Docker does."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import time

import psutil

from tests.system.processes import started

RESTART_SECONDS = 0.5
STOP_SECONDS = 90
"""More than the notice and the time limit of a shutdown."""

LINES = 3


@dataclass
class Usage:
    """Of all processes of a part. `age`: of the first of them, in seconds."""

    memory: int = 0
    files: int = 0
    threads: int = 0
    age: float = 0.0


class Part:
    """`place`: where it answers /readyz. `ends`: its exit codes that no fault has caused.

    `stuck`: when it did not stop.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        environment: Mapping[str, str],
        place: tuple[str, int] | None = None,
    ) -> None:
        self.name = name
        self.place = place
        self.ends: list[str] = []
        self.stuck: list[str] = []
        self._arguments = arguments
        self._environment = environment
        self._may_run = asyncio.Event()
        self._runs = asyncio.Event()
        self._is_over = asyncio.Event()

    @asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """It runs during the block, except while a fault keeps it ended."""
        supervising = asyncio.create_task(self._run_again_and_again())
        try:
            await self.start()
            yield
        finally:
            supervising.cancel()
            await asyncio.wait([supervising])

    async def _run_again_and_again(self) -> None:
        while True:
            await self._may_run.wait()
            async with started(*self._arguments, environment=self._environment) as process:
                self.process = process
                self._is_over.clear()
                self._runs.set()
                code = await process.running.wait()
                self._runs.clear()
            if self._may_run.is_set():
                self.ends.append(f"ended by itself with {code}, {self.last_lines()}")
                await asyncio.sleep(RESTART_SECONDS)
            self._is_over.set()

    async def start(self) -> None:
        self._may_run.set()
        await self._runs.wait()

    async def end(self, number: signal.Signals) -> None:
        """Ends the process with its workers, for SIGKILL at once; does not start it again."""
        self._may_run.clear()
        if number is signal.SIGKILL:
            self.signal_all(number)
        else:
            with suppress(psutil.NoSuchProcess, IndexError):
                self.processes[0].send_signal(number)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._is_over.wait()
        except TimeoutError:
            self.stuck.append(f"{STOP_SECONDS} s after {number.name}: {self.last_lines()}")
            self.signal_all(signal.SIGKILL)
            await self._is_over.wait()

    def last_lines(self) -> str:
        return "\n".join([f"{self.name}:", *self.process.output.splitlines()[-LINES:]])

    def signal_all(self, number: signal.Signals) -> None:
        for each in self.processes:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    @property
    def processes(self) -> list[psutil.Process]:
        """The process itself, then its workers."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.running.pid)
            return [parent, *parent.children()]
        return []

    @property
    def workers(self) -> list[psutil.Process]:
        """Those that serve; the process of the resource tracker of Python is none."""
        children = []
        for each in self.processes[1:]:
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(each.cmdline()):
                    children.append(each)
        return children

    def usage(self) -> Usage:
        found = Usage()
        for each in self.processes:
            with suppress(psutil.Error):
                found.age = max(found.age, time() - each.create_time())
                found.memory += each.memory_info().rss
                found.files += each.num_fds()
                found.threads += each.num_threads()
        return found
