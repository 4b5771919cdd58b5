# SPDX-License-Identifier: MIT
"""The end of a connection when its server stops."""

import asyncio
import select
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from service.http.connection.pool import Pool
from service.http.connection.refusing import RefusingConnection
from service.http.connection.waiting import Waiting
from service.http.errors import RequestTimeout

REFUSED_FROM = 0.8
"""Share of the time limit of the shutdown after which a request that is not complete is refused.
The rest is for the answer."""


class StoppingConnection(RefusingConnection):
    """Answers every request that has begun, and then asks the client to connect elsewhere.

    A connection that closes while a request arrives resets it, and the client cannot know whether
    the request was executed.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
        pool: Pool,
    ) -> None:
        super().__init__(config, server_state, app_state, loop, pool)
        self._keeps_alive_otherwise = False

    def shutdown(self) -> None:
        self._is_shut_down = True
        if seconds := self.config.timeout_graceful_shutdown:
            self.loop.call_later(seconds * REFUSED_FROM, self._refuse_incomplete, seconds)
        if self._is_lingering:
            return
        if self._is_busy:
            self._close_after_newest()
        elif not self._is_in_head:  # of a body that still arrives after its answer
            self.transport.close()
        elif not self._has_begun:
            self._wait_in(self._pool.ending)

    def expire(self, queue: Waiting) -> None:
        if queue is not self._pool.ending:
            super().expire(queue)
        elif not self._has_unread_data():
            self.close_now()

    def _has_unread_data(self) -> bool:
        """True if the system has received something that the event loop will read next."""
        poll = select.poll()
        poll.register(self._socket.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _refuse_incomplete(self, seconds: float) -> None:
        if self._failure is not None or self._is_lingering or self.transport.is_closing():
            return
        if self._is_inside_a_head:
            self._fail(RequestTimeout("headers", seconds * REFUSED_FROM))
        elif not self._is_in_head and self._is_busy:
            self._fail(RequestTimeout("body", seconds * REFUSED_FROM))

    def _close_after_newest(self) -> None:
        """Closes the connection with the answer to the last request that has arrived.

        If another one arrives before that answer has begun, it is answered, too.
        """
        cycle = self._closing_cycle
        if cycle is not None and not cycle.response_started:
            cycle.keep_alive = self._keeps_alive_otherwise
        self._closing_cycle = None
        if not self._unparsed and not self._is_inside_a_head:
            self._closing_cycle = self.cycle
            self._keeps_alive_otherwise = self.cycle.keep_alive
            self.cycle.keep_alive = False
