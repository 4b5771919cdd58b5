# SPDX-License-Identifier: MIT
"""A small HTTP server for metrics and probes, in a thread of its own.

A thread answers also while the event loop is stuck, and the process that supervises several workers
has no event loop. It is for an internal network: it has neither TLS nor tokens.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socket import socket
from socketserver import ThreadingMixIn
from typing import Any

import structlog

CLIENT_TIMEOUT_SECONDS = 5.0
CONNECTIONS_MAX = 32
"""Each has a thread; further ones are closed without an answer."""

TEXT = "text/plain; charset=utf-8"

log = structlog.get_logger("service.metrics")


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = TEXT


Pages = Mapping[str, Callable[[], Page]]
"""By path. They are made in the server's threads, for every request anew."""


@contextmanager
def serving(listeners: Sequence[socket], pages: Pages) -> Iterator[None]:
    """Answers GET and HEAD on these bound sockets, and closes them at the end of the block.

    Raises OSError if another process has begun to listen.
    """
    with ExitStack() as stack:
        servers = [stack.enter_context(_Server(listener, pages)) for listener in listeners]
        for each in servers:
            threading.Thread(target=each.serve_forever, name="metrics", daemon=True).start()
            stack.callback(each.shutdown)
        yield


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket, pages: Pages) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.pages = pages
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self.server_activate()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event."""


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815  the name is that of the base class

    def version_string(self) -> str:
        return "training-sessions"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as in the base class
        """Probes and scrapes are not logged."""

    def _page(self) -> Page:
        make = self.server.pages.get(self.path.partition("?")[0])
        if make is None:
            return Page(f"{', '.join(self.server.pages)}\n".encode(), HTTPStatus.NOT_FOUND)
        try:
            return make()
        except Exception:
            log.exception("page not made", path=self.path.partition("?")[0])
            return Page(b"The log says why.\n", HTTPStatus.INTERNAL_SERVER_ERROR)
