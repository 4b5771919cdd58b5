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
    headers_too_large,
    origin_form,
    require_valid_head,
    size_refusal,
)
from service.http.connection.limits import (
    HEAD_MAX_BYTES,
    HEADERS_MAX,
    UNWANTED_MAX_BYTES,
)
from service.http.connection.pool import Pool
from service.http.connection.refusing import RefusingConnection
from service.http.connection.waiting import Waiting
from service.http.errors import BadRequest, PayloadTooLarge

PIECE_BYTES = 4096
"""What the parser gets at a time: limits are checked, and pipelined requests counted, in between.
Most requests are one piece."""

CHUNK_FRAMING_BYTES = 16
"""Of a chunk's size and line ends; more than that counts as an extension of the chunk."""

HEALTH_CHECKS = (b"/livez", b"/readyz")


class Connection(RefusingConnection):
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
        self._received = 0
        self._trailers = 0
        self._unwanted = 0

    # What arrives

    def data_received(self, data: bytes) -> None:
        if self._is_lingering:
            self._discard(len(data))
        elif self._unparsed:
            self._unparsed += data
        elif self._failure is None:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Feeds the parser until a request must wait for the one before it."""
        start = 0
        while start < len(data) and self._failure is None:
            if self.pipeline or self._unparsed:
                self._unparsed += data[start:]
                break
            self._feed(data[start : start + PIECE_BYTES])
            start += PIECE_BYTES
        self._watch_client()

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
            self._check_sizes()

    def _check_sizes(self) -> None:
        if self._is_in_head and self._has_begun:
            if refusal := size_refusal(self.url, self.headers, size=self._received):
                self._fail(refusal)
        elif self._received > HEAD_MAX_BYTES:
            self._fail(headers_too_large())

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

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._has_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:
            super().on_header(name, value)
            return
        self._trailers += 1  # no trailer may pass for a header (RFC 9110, section 6.5.1)
        if len(self.headers) + self._trailers > HEADERS_MAX:
            raise headers_too_large()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._check_head()
        super().on_headers_complete()
        self._is_in_head = False
        self._received = 0
        self._trailers = 0
        self._unwanted = 0

    def _check_head(self) -> None:
        size = 0
        if self._received > HEAD_MAX_BYTES - PIECE_BYTES:  # it may count some of the body, too
            size = head_bytes(self.url, self.headers)
        if refusal := size_refusal(self.url, self.headers, size=size):
            raise refusal
        self.url = origin_form(self.url)
        version = self.parser.get_http_version()
        require_valid_head(version, self.headers)
        if version == "1.0":
            self.expect_100_continue = False
        path = self.url.partition(b"?")[0]
        if self._is_spare and self._pool.is_overfull and path not in HEALTH_CHECKS:
            raise Overloaded
        self._is_spare = False

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
        super().on_message_complete()
        self._is_in_head = True
        self._has_begun = False
        self._received = 0

    # What the client owes

    def _watch_client(self) -> None:
        if self._failure is not None or self._client_has_finished:
            return
        if self.pipeline or self._unparsed:
            self.flow.hold()
        else:
            self.flow.release()
        self._wait_in(self._awaited_in())
        if not self._is_in_head:
            self._watch_body(self.cycle)

    def _awaited_in(self) -> Waiting | None:
        if not self._is_in_head:
            return self._pool.body
        if self._has_begun:
            return self._pool.spare if self._is_spare else self._pool.head
        if self.cycle is None:  # it has sent empty lines at most
            return self._queue
        return None if self._is_busy else self._pool.idle

    # What is answered

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._responses.end_response()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._unparsed:
            data, self._unparsed = self._unparsed, b""
            self._parse(data)
        self._watch_client()
