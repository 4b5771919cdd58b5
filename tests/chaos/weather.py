# SPDX-License-Identifier: MIT
"""What happens to messages between two parts."""

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from enum import Enum
from random import Random

Place = tuple[str, int]
NO_LINGERING = struct.pack("ii", 1, 0)


class Way(Enum):
    """A direction, seen from the part that has connected."""

    THERE = "from the client to the server"
    BACK = "from the server to the client"


@dataclass
class Weather:
    """What messages meet. `delay` and `resend`: seconds; `loss`: the share that is sent again."""

    delay: float = 0.0
    loss: float = 0.0
    resend: tuple[float, float] = (0.2, 1.0)
    stopped: set[Way] = field(default_factory=set)
    closed: bool = False

    @property
    def is_calm(self) -> bool:
        return not (self.delay or self.loss or self.stopped)

    def pause(self, random: Random) -> float:
        """Before the next message arrives."""
        is_lost = self.loss and random.random() < self.loss
        return self.delay + (random.uniform(*self.resend) if is_lost else 0)


def reset(transport: asyncio.Transport) -> None:
    """The other side gets an RST, as when a machine has forgotten the connection."""
    if not transport.is_closing():
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
    transport.abort()
