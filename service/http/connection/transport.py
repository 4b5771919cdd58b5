# SPDX-License-Identifier: MIT
"""What uvicorn writes its responses to, and how it pauses reading."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ResponseTransport(asyncio.Transport):
    """Sends the head of a response together with its body: one system call and one packet.

    ASGI lets a server keep the head until it has some of the body. `close` calls what it was given,
    because a connection may have to linger.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._close = close
        self._head = b""
        self._is_between_responses = True
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing:
            return
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif self._is_between_responses and data != _CONTINUE:
            self._is_between_responses = False
            self._head = bytes(data)
        else:
            self._transport.write(data)

    def end_response(self) -> None:
        """Sends a head that has no body."""
        self._is_between_responses = True
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        if not self.is_closing():
            self.end_response()
            self._is_closing = True
            self._close()

    def lost(self) -> None:
        """Ignores what is written from now on."""
        self._is_closing = True

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()


class HeldFlow(FlowControl):
    """While it is held, nothing is read, whatever the running request asks for."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.is_held = False

    def hold(self) -> None:
        self.is_held = True
        self.pause_reading()

    def release(self) -> None:
        if self.is_held:
            self.is_held = False
            self.resume_reading()

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()
