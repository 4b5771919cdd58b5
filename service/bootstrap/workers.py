# SPDX-License-Identifier: MIT
"""The server of each process, and the process that starts and stops several of them.

uvicorn closes the listening socket without a look at the connections that wait there, and the
system resets those.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from contextlib import suppress
from multiprocessing import resource_tracker
from types import FrameType

import uvicorn
from uvicorn.supervisors import multiprocess

from service.bootstrap import listening

HANDSHAKE_SECONDS = 0.1
"""For clients that the system has answered, but whose connections are not complete."""

ACCEPT_SECONDS = 1.0
"""Time limit for accepting what waits; it passes only if no more files may be opened."""

TURNS = 3
"""Turns of the event loop from an accepted connection to its protocol."""

OWN_NOTICE = 0.9
"""Share of the shutdown notice after which the workers are stopped. Each would stop by itself after
all of it, and the socket must take no more connections by then."""


class DrainingServer(uvicorn.Server):
    """Accepts the connections that wait at its sockets before it closes them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._accept_waiting(sockets or [])
        await super().shutdown(sockets)

    async def _accept_waiting(self, sockets: list[socket.socket]) -> None:
        await asyncio.sleep(HANDSHAKE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(ACCEPT_SECONDS):
                while listening.has_waiting_connection(sockets):  # noqa: ASYNC110  the system tells no one
                    await asyncio.sleep(0)
        for _ in range(TURNS):
            await asyncio.sleep(0)


class LoneServer(DrainingServer):
    """The only process that listens at its sockets."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        listening.take_no_more_connections(sockets or [])
        await super().shutdown(sockets)


class Worker(multiprocess.Process):
    def start(self) -> None:
        """Ctrl-C waits in the worker until `accept_ctrl_c`, or it would print a traceback."""
        resource_tracker.ensure_running()  # the first worker would start it, and it unblocks SIGINT
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # Else this process held the worker's end of the pipe open: a health check of a worker that
        # was killed would wait for its time limit, and with it the shutdown.
        self.child_conn.close()

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = DrainingServer(self.config)
        return self._server


def accept_ctrl_c() -> None:
    """For a worker whose server handles signals by now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class Supervisor(multiprocess.Multiprocess):
    """Stops the workers when their sockets take no more connections.

    `notice` is that of each worker, in seconds. A second SIGTERM ends it.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], *, notice: float
    ) -> None:
        super().__init__(config, sockets)
        multiprocess.Process = Worker  # type: ignore[misc]  # the only way to give it another server
        self._notice = notice
        self._sigterms: list[float] = []
        self._told: set[int] = set()
        signal.signal(signal.SIGTERM, self._handle_sigterm)

    def run(self) -> None:
        """Leaves no worker behind, whatever it raises: this process would wait for it for ever."""
        try:
            super().run()
        finally:
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()
            listening.close(self.sockets)

    def terminate_all(self) -> None:
        self._tell_workers()  # SIGTERM may have come while one was started
        while len(self._sigterms) == 1 and time.monotonic() < self._sigterms[0] + self._own_notice:
            time.sleep(0.05)
        listening.take_no_more_connections(self.sockets)
        super().terminate_all()
        listening.close(self.sockets)  # or connections would wait there unaccepted

    @property
    def _own_notice(self) -> float:
        return self._notice * OWN_NOTICE

    def _handle_sigterm(self, number: int, _frame: FrameType | None) -> None:
        """Tells the workers at once: this process may be waiting for the health check of one."""
        self._sigterms.append(time.monotonic())
        self.signal_queue.append(number)
        if len(self._sigterms) == 1:
            if not self._notice:
                listening.take_no_more_connections(self.sockets)
            self._tell_workers()

    def _tell_workers(self) -> None:
        for process in self.processes:
            pid = process.pid
            if pid and pid not in self._told and process.exitcode is None:
                self._told.add(pid)
                os.kill(pid, signal.SIGTERM)
