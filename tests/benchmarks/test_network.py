# SPDX-License-Identifier: MIT
"""The proxy that stands for a slow network."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.network import delaying


@contextmanager
def an_echo(path: Path) -> Iterator[None]:
    """Sends the first message of one client back, and closes."""

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(client.recv(1024))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_passes_messages_in_both_directions_and_the_end(tmp_path: Path) -> None:
    with (
        an_echo(tmp_path / "echo"),
        delaying(tmp_path / "echo", 0.001) as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"SELECT 1")

        assert client.recv(1024) == b"SELECT 1"
        assert client.recv(1024) == b""
