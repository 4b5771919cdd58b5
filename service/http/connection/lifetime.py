# SPDX-License-Identifier: MIT
"""The lifetime of a connection: what it waits for, and how it ends."""

import asyncio
from contextlib import suppress
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.http.connection.limits import LINGER_MAX_BYTES, SEND_MIN_BYTES
from service.http.connection.pool import Pool
from service.http.connection.transport import HeldFlow, ResponseTransport
from service.http.connection.waiting import Waiting


class ConnectionLifetime(HttpToolsProtocol):
    """uvicorn's protocol, with a time limit for everything that it waits for.

    It closes so that the client can read the last answer: unread data would make the system reset
    the connection, and the answer could be lost (RFC 9112, section 9.6).
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
        pool: Pool,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._pool = pool
        self._queue: Waiting | None = None
        self._is_spare = False
        self._is_in_head = True
        self._last_scope: object = None
        self._closing_cycle: RequestResponseCycle | None = None
        self._unparsed = b""
        self._failure: Exception | None = None
        self._client_has_finished = False
        self._is_shut_down = False
        self._is_lingering = False
        self._lingered = 0
        self._unsent = 0

    @property
    def _is_busy(self) -> bool:
        """True while a response, also to a request that waits for another one's, is due."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def _has_begun(self) -> bool:
        """True if the parser has found some of a request that is not complete."""
        return self.scope is not self._last_scope

    @property
    def _is_inside_a_head(self) -> bool:
        return self._is_in_head and self._has_begun

    @property
    def _is_ending(self) -> bool:
        """True if no further request is awaited."""
        return self._client_has_finished or (self._is_shut_down and not self._is_inside_a_head)

    @property
    def _is_stopping(self) -> bool:
        """True if the client shall send further requests to another server."""
        return self._is_shut_down or self._pool.is_stopping()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        super().connection_made(transport)
        self._socket = transport
        self.flow: HeldFlow = HeldFlow(transport)
        self.transport = self._responses = ResponseTransport(transport, self._close)
        self._is_spare = not self._pool.admit_one_more()
        self._wait_in(self._pool.spare if self._is_spare else self._pool.silent)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._responses.lost()
        self._wait_in(None)
        self._pool.unread.discard(self)
        self._pool.note_lost()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's never keeps it open
        """Keeps the connection open for the answers to requests that have arrived whole."""
        self._client_has_finished = True
        is_half = not self._is_in_head and self._failure is None
        if self._is_lingering or not self._is_busy or is_half:
            self._expect_client_to_read()
            return False
        self._wait_in(None)
        self.cycle.keep_alive = False
        return True

    def expire(self, queue: Waiting) -> None:
        if queue is self._pool.unread:
            self._abort_unless_client_reads()
        elif queue is self._pool.lingering:
            self._end_lingering()
        else:
            self.close_now()

    def close_now(self) -> None:
        self._wait_in(None)
        self._socket.close()
        self._expect_client_to_read()

    def abort(self) -> None:
        self._wait_in(None)
        self._socket.abort()

    def _wait_in(self, queue: Waiting | None) -> None:
        """Does not renew the time limit of a connection that waits there already."""
        if queue is self._queue:
            return
        if self._queue is not None:
            self._queue.discard(self)
        self._queue = queue
        if queue is not None:
            queue.add(self)

    # A client that does not read

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_client_to_read()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._pool.unread.discard(self)

    def _expect_client_to_read(self) -> None:
        self._unsent = self._socket.get_write_buffer_size()
        if self._unsent:
            self._pool.unread.add(self)

    def _abort_unless_client_reads(self) -> None:
        if self._socket.get_write_buffer_size() + SEND_MIN_BYTES <= self._unsent:
            self._expect_client_to_read()
        else:
            self.abort()

    # A client that still sends

    def _close(self) -> None:
        """Called where uvicorn closes the transport, which is after the last response."""
        is_between_requests = self._is_in_head and not self._has_begun and not self._unparsed
        owes_nothing = is_between_requests and self._failure is None and not self._is_stopping
        if self._client_has_finished or owes_nothing:
            self.close_now()
        else:
            self._linger()

    def _linger(self) -> None:
        """Ends this side alone, and reads on until the client has ended, too."""
        self._is_lingering = True
        self._wait_in(self._pool.lingering)
        self.flow.release()
        self.flow.resume_reading()
        with suppress(OSError):  # the client is gone already
            self._socket.write_eof()

    def _discard(self, size: int) -> None:
        self._lingered += size
        if self._lingered > LINGER_MAX_BYTES:
            self.abort()

    def _end_lingering(self) -> None:
        if self._socket.get_write_buffer_size():
            self._expect_client_to_read()
        else:
            self.abort()
