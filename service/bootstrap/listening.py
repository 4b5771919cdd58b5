# SPDX-License-Identifier: MIT
"""The sockets that the API listens on, the same for one worker and for several."""

import ctypes
import errno
import select
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any

ALL_ADDRESSES = "::"

_SO_ATTACH_FILTER = 26
_DROP_SYN = (
    (0x30, 0, 0, 13),  # the flags of the TCP header
    (0x54, 0, 0, 0x12),  # of them, SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone opens a connection:
    (0x06, 0, 0, 0),  # drop it,
    (0x06, 0, 0, 0xFFFFFFFF),  # and take everything else
)
"""A program for the packet filter of a socket, in the instructions of linux/filter.h."""


def bind(host: str, port: int) -> list[socket.socket]:
    """One socket for each address of `host`, all with the same port. Raises OSError.

    `::` takes IPv4, too, as operators expect from the address that stands for all; asyncio alone
    would take only IPv6. An address of a name that this machine does not have is left out.
    """
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in _addresses(host, port):
        try:
            sockets.append(_bound(family, address, port))
        except OSError as exc:
            if exc.errno != errno.EADDRNOTAVAIL:
                close(sockets)
                raise
            missing = exc
        else:
            port = sockets[0].getsockname()[1]
    if missing and not sockets:
        raise missing
    return sockets


def close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()


def take_no_more_connections(sockets: Sequence[socket.socket]) -> None:
    """Leaves new clients without an answer until the sockets are closed. Holds for all processes.

    Without this, the system would accept connections until the moment at which it closes the
    socket, and would then reset those that no process has accepted. Only Linux can do it.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _DROP_SYN))
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(code))
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def has_waiting_connection(sockets: Sequence[socket.socket]) -> bool:
    """True if the system has accepted a connection that no process has accepted yet."""
    poll = select.poll()
    for each in sockets:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(0))


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, address) for family, _, _, _, address in found]


def _bound(family: socket.AddressFamily, address: Any, port: int) -> socket.socket:
    # With the protocol named, or asyncio leaves Nagle's algorithm on: 40 ms for each request.
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            only_ipv6 = address[0] != ALL_ADDRESSES
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        listener.bind((address[0], port, *address[2:]))
    except OSError:
        listener.close()
        raise
    return listener
