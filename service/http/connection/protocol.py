# SPDX-License-Identifier: MIT
"""The protocol of a connection: uvicorn's, with limits, and with refusals in the service's format.

uvicorn answers what its parser refuses in plain text, and limits neither the size of a request's
head nor the time that a client takes.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.application.errors import Overloaded
from service.domain.errors import ServiceError
from service.http.connection.head import (
    head_bytes,
    head_refusal,
    origin_form,
    size_refusal,
)
from service.http.connection.limits import (
    HEAD_MAX_BYTES,
    HEADERS_MAX,
    TARGET_MAX_BYTES,
    UNWANTED_MAX_BYTES,
)
from service.http.connection.pool import Pool
from service.http.connection.stopping import StoppingConnection
from service.http.errors import BadRequest, PayloadTooLarge

PIECE_BYTES = 4096
"""What the parser gets at a time: limits are checked, and pipelined requests counted, in between.
Most requests are one piece."""

CHUNK_FRAMING_BYTES = 16
"""Of a chunk's size and line ends; more than that counts as an extension of the chunk."""

HEALTH_CHECKS = ("/livez", "/readyz")


class Connection(StoppingConnection):
    """Reads requests, each within the limits, and answers those that are not.

    `_received`: bytes of the head so far; of a body, those of its framing, extensions and trailers.
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
        self.url = b""
        self.headers = []
        self._received = 0
        self._unwanted = 0

    # What arrives

    def data_received(self, data: bytes) -> None:
        if self._is_lingering:
            self._discard(len(data))
        elif self._failure is None:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Feeds the parser until a request must wait for the one before it."""
        for start in range(0, len(data), PIECE_BYTES):
            if self.pipeline or self._unparsed:
                self._unparsed += data[start:]
                break
            self._feed(data[start : start + PIECE_BYTES])
            if self._failure is not None:
                return
        self._watch_client()
        if self._is_busy and self._is_stopping:
            self._close_after_newest()

    def _feed(self, piece: bytes) -> None:
        self._received += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as exc:
            self._parse_without_upgrade(piece[exc.args[0] :])
        except httptools.HttpParserCallbackError as exc:
            if not isinstance(exc.__context__, ServiceError):
                raise
            self._fail(exc.__context__)
        except httptools.HttpParserError as exc:
            self._fail(BadRequest(str(exc)))
        else:
            if self._is_too_large:
                self._fail(size_refusal(self.url))

    def _parse_without_upgrade(self, rest: bytes) -> None:
        """Ignores an upgrade (RFC 9110, section 7.8): the parser takes what follows for another
        protocol, and a body for a part of it."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._fail(BadRequest("CONNECT is not supported"))
            return
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._received = 0
        self._parse(b"\r\n".join([*lines, b"", rest]))

    # What the parser finds; an error raised here ends the parsing

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if self._received > HEAD_MAX_BYTES - PIECE_BYTES:  # it may count some of the body, too
            self._received = head_bytes(self.url, self.headers)
        if self._is_too_large:
            raise size_refusal(self.url)
        if not self.url.startswith(b"/"):
            self.url = origin_form(self.url)
        super().on_headers_complete()
        headers = self.headers
        self.headers = []  # of trailers, which may not pass for headers (RFC 9110, section 6.5.1)
        self._is_in_head = False
        self._received = 0
        self._unwanted = 0
        if refusal := self._refusal(headers):
            self.scope["state"]["refusal"] = refusal
            raise refusal

    def _refusal(self, headers: list[tuple[bytes, bytes]]) -> ServiceError | None:
        version = self.scope["http_version"]
        if version == "1.0":
            self.cycle.waiting_for_100_continue = False
        if self._is_spare:
            self._is_spare = False
            if self._pool.is_overfull and self.scope["path"] not in HEALTH_CHECKS:
                return Overloaded()
        return head_refusal(version, headers)

    @property
    def _is_too_large(self) -> bool:
        return (
            self._received > HEAD_MAX_BYTES
            or len(self.headers) > HEADERS_MAX
            or len(self.url) > TARGET_MAX_BYTES
        )

    def on_body(self, body: bytes) -> None:
        self._received -= len(body)
        if self.cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > UNWANTED_MAX_BYTES:
                raise PayloadTooLarge(UNWANTED_MAX_BYTES)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        # Small chunks save nothing for later: their framing is shorter than this.
        self._received = max(0, self._received - CHUNK_FRAMING_BYTES)

    def on_message_complete(self) -> None:
        if self._is_in_head:  # of a request with an upgrade, which is parsed again
            return
        if self._is_too_large:
            raise size_refusal(self.url)
        super().on_message_complete()
        self._last_scope = self.scope
        self._is_in_head = True
        self._received = 0

    # What the client owes

    def _watch_client(self) -> None:
        if self.pipeline or self._unparsed:
            self.flow.hold()
        elif self.flow.is_held:
            self.flow.release()
        if not self._is_in_head:
            self._wait_in(self._pool.body)
            self._watch_body(self.cycle)
        elif self._is_busy:  # it owes nothing, even if the next request has begun
            self._wait_in(None)
        elif self._has_begun:
            self._wait_in(self._pool.spare if self._is_spare else self._pool.head)
        elif self.cycle is not None:
            self._wait_in(self._pool.ending if self._is_shut_down else self._pool.idle)

    # What is answered

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._responses.end_response()
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._unparsed:
            data, self._unparsed = self._unparsed, b""
            self._parse(data)
        if self._failure is None and not self._is_ending:
            self._watch_client()
        elif not self._is_busy:
            self.transport.close()
