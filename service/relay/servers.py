# SPDX-License-Identifier: MIT
"""NATS servers and their logins, as the URLs of the settings name them. Pure."""

import ipaddress
from dataclasses import dataclass, replace

from service.urls import Address, Url, parse_server_urls

PORT = 4222


@dataclass(frozen=True, slots=True)
class Server:
    """`certified_host`: the name in its certificate, if that is not its host."""

    url: Url
    certified_host: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        [address] = self.url.addresses
        return address.host, address.port or PORT

    @property
    def requires_tls(self) -> bool:
        return self.url.scheme == "tls"

    @property
    def user(self) -> str | None:
        return None if self.url.password is None else self.url.user

    @property
    def password(self) -> str | None:
        return self.url.password

    @property
    def token(self) -> str | None:
        """A name without a password is a token, as everywhere in NATS."""
        return self.url.user if self.url.password is None else None

    @property
    def secrets(self) -> list[str]:
        return [each for each in (self.url.user, self.url.password) if each is not None]

    @property
    def bare_url(self) -> str:
        """Without the login, which nats-py would send without decoding it."""
        host, port = self.address
        return f"{self.url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def neighbour(self, host: str, port: int) -> "Server":
        """Another server of its cluster, which it named. A certificate rarely names an address."""
        url = replace(self.url, addresses=(Address(host, port),))
        certified = self.certified_host or self.address[0]
        return Server(url, certified if _is_ip_address(host) else None)


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_servers(text: str) -> tuple[Server, ...]:
    """Servers from URLs that are separated by commas. Raises WrongUrl."""
    return tuple(Server(url) for url in parse_server_urls(text, "nats", "tls"))
