# SPDX-License-Identifier: MIT
"""A slow network: a TCP proxy in front of PostgreSQL that delays what passes through it.

`tc netem` would need root and a module of the kernel. The proxy costs about 0.1 ms of processor
time for each round trip, the same for every server that is compared.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHUNK = 2**20


@contextmanager
def delaying(target: Path, seconds: float) -> Iterator[int]:
    """Yields the port of a proxy to this Unix socket. `seconds`: of delay, in each direction."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        _start(_accept, listener, target, seconds)
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, target: Path, seconds: float) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            client, _ = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(target))
            _start(_forward, client, server, seconds)
            _start(_forward, server, client, seconds)


def _forward(source: socket.socket, sink: socket.socket, seconds: float) -> None:
    """A thread for each direction, because a loop's timers are too coarse for half a millisecond.

    PostgreSQL's protocol takes turns, so that a message waits for no earlier one.
    """
    with source:
        with suppress(OSError):  # one side is gone
            while data := source.recv(CHUNK):
                time.sleep(seconds)
                sink.sendall(data)
        for each in (source, sink):  # wakes the thread of the other direction, which closes its own
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _start(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()
