"""The sockets that the API listens on, the same for one worker and for several."""

import errno
import socket
from typing import Any

ALL_ADDRESSES = "::"


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


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


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
