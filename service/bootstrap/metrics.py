# SPDX-License-Identifier: MIT
"""The port for Prometheus and for probes of processes that serve no API."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog

from service.bootstrap import listening
from service.observability.server import Pages, serving

log = structlog.get_logger("service.metrics")


class CannotListen(Exception):
    """The message is a sentence for the operator; `facts` are for the log."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"{host}:{port} cannot serve metrics: {reason}.")
        self.facts = {"host": host, "port": port, "reason": reason, "for": "metrics"}


@contextmanager
def serving_pages(host: str, port: int, pages: Pages) -> Iterator[str]:
    """Answers these pages in a thread; yields the URL of the server. Raises CannotListen."""
    with ExitStack() as stack:
        try:
            listeners = listening.bind(host, port)
            stack.enter_context(serving(listeners, pages))
        except OSError as exc:  # also if another process begins to listen before this one
            raise CannotListen(host, port, exc.strerror or str(exc)) from exc
        url = listening.url_of(listeners[0])
        log.info("metrics", url=url, pages=list(pages))
        yield url
