# SPDX-License-Identifier: MIT
"""The refusals of a connection: the app answers them, or raises them where it reads the body."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from service.domain.errors import ServiceError
from service.http.connection.lifetime import ConnectionLifetime
from service.http.connection.pool import Pool
from service.http.connection.waiting import Waiting
from service.http.errors import RequestTimeout


class RefusingConnection(ConnectionLifetime):
    """Gives its own refusals the format, the headers and the line in the log of all others."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
        pool: Pool,
    ) -> None:
        super().__init__(config, server_state, app_state, loop, pool)
        self._watched: RequestResponseCycle | None = None

    def expire(self, queue: Waiting) -> None:
        limits = self._pool.limits
        if queue is self._pool.head:
            self._fail(RequestTimeout("headers", limits.head_timeout))
        elif queue is self._pool.body:
            self._fail(RequestTimeout("body", limits.body_timeout))
        else:
            super().expire(queue)

    def _fail(self, error: ServiceError) -> None:
        """Answers with this error, after the requests before it, and closes the connection."""
        self._failure = error
        self._wait_in(None)
        self.flow.hold()
        if self._is_in_head:
            self._answer_with(error)
        elif self.cycle.response_complete:
            self.transport.close()
        else:
            self._watch_body(self.cycle)
            self.cycle.keep_alive = False
            self.cycle.message_event.set()

    def _answer_with(self, error: ServiceError) -> None:
        """Gives the app a request that is only answered with this error."""
        if not self._has_begun:
            super().on_message_begin()
        self.scope |= {
            "method": self.parser.get_method().decode() if self.url else "",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
        }
        self.scope["state"]["refusal"] = error
        is_busy = self._is_busy
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self.cycle.more_body = False
        if is_busy:
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def _watch_body(self, cycle: RequestResponseCycle) -> None:
        """Raises a failure where the app reads the body.

        Without 100 Continue the client need not send the body, so nothing may follow an answer
        before that (RFC 9110, section 10.1.1).
        """
        if cycle is self._watched:
            return
        self._watched = cycle
        keep_alive = cycle.keep_alive
        cycle.keep_alive = keep_alive and not cycle.waiting_for_100_continue
        receive = cycle.receive

        async def receive_or_fail() -> Any:
            if self._failure is None:
                is_last = self._client_has_finished or cycle is self._closing_cycle
                cycle.keep_alive = keep_alive and not is_last
                message = await receive()
            if self._failure is not None:
                raise self._failure
            return message

        cycle.receive = receive_or_fail  # type: ignore[method-assign]  # of this request alone
