# SPDX-License-Identifier: MIT
"""HAProxy as docker-compose.yml configures it, and the name server that tells it the replicas."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.system.compose import BALANCER

HOSTS = ("127.0.0.1", "127.0.0.2")
TYPE_A = 1


class Names(asyncio.DatagramProtocol):
    """A name server that answers every question with the replicas' addresses (RFC 1035)."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, query: bytes, sender: tuple[str, int]) -> None:
        question = query[12 : query.index(b"\0", 12) + 5]
        (kind,) = struct.unpack(">H", question[-4:-2])
        answers = [_address(host) for host in HOSTS] if kind == TYPE_A else []
        header = query[:2] + struct.pack(">5H", 0x8180, 1, len(answers), 0, 0)
        self._transport.sendto(header + question + b"".join(answers), sender)


def _address(host: str) -> bytes:
    """The record that answers the question, with a time to live of one second."""
    octets = bytes(int(octet) for octet in host.split("."))
    return b"\xc0\x0c" + struct.pack(">HHIH", TYPE_A, 1, 1, len(octets)) + octets


def configuration(ports: dict[str, int]) -> str:
    """The configuration of docker-compose.yml, with the addresses and ports of this machine.

    `ports`: of `clients`, `metrics`, `api` (of every replica, on its own host), and `names`.
    """
    text: str = BALANCER
    return (
        text.replace("bind :8000", f"bind 127.0.0.1:{ports['clients']}")
        .replace("bind :8404", f"bind 127.0.0.1:{ports['metrics']}")
        .replace("api:8000", f"api:{ports['api']}")
        .replace("parse-resolv-conf", f"nameserver names 127.0.0.1:{ports['names']}")
    )


@asynccontextmanager
async def names(port: int) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", port))
    try:
        yield
    finally:
        transport.close()
