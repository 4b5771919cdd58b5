# SPDX-License-Identifier: MIT
"""The proxy that the environment names for a URL; none for this machine itself.

The variables are those of curl: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in either case.
"""

import importlib.util
import ipaddress
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TypedDict
from urllib.request import getproxies, proxy_bypass

import httpx2

from service.bootstrap.settings import WrongSettings
from service.urls import Address, WrongUrl, parse_server_url

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class EnvironmentProxy:
    """A proxy, and the name of the variable that it comes from."""

    variable: str
    proxy: httpx2.Proxy


class ClientOptions(TypedDict):
    proxy: httpx2.Proxy | None
    trust_env: bool
    verify: ssl.SSLContext


def client_options(url: str) -> ClientOptions:
    """Options of an httpx2 client that calls this URL alone. Raises WrongSettings.

    By itself, httpx2 would use proxies for this machine too, and refuse to start because of
    variables that do not matter for the URL.
    """
    found = find_proxy(url)
    return {
        "proxy": found.proxy if found else None,
        "trust_env": False,
        "verify": httpx2.create_ssl_context(),
    }


def find_proxy(text: str) -> EnvironmentProxy | None:
    """Raises WrongSettings, which quotes nothing, if the proxy for this URL cannot be used."""
    url = parse_server_url(text, "http", "https")
    [address] = url.addresses
    if is_this_machine(address.host) or _is_excluded(address):
        return None
    proxies = getproxies()
    kind = next((each for each in (url.scheme, "all") if proxies.get(each)), None)
    if kind is None:
        return None
    variable = _variable(kind)
    return EnvironmentProxy(variable, _parse(variable, proxies[kind], url.scheme))


def _parse(variable: str, value: str, scheme: str) -> httpx2.Proxy:
    given = value if "://" in value else f"http://{value}"
    if given.startswith("socks") and not importlib.util.find_spec("socksio"):
        raise WrongSettings(
            f"{variable} names a SOCKS proxy, which needs the Python package socksio; install it,"
            f" or let {scheme.upper()}_PROXY name an HTTP proxy."
        )
    try:
        url = parse_server_url(given, "http", "https", "socks5", "socks5h")
    except WrongUrl as exc:
        raise WrongSettings(
            f"{variable} is wrong: it must be the URL of a proxy, such as"
            f" http://proxy.example:3128, but {exc}."
        ) from None
    [address] = url.addresses
    return httpx2.Proxy(
        httpx2.URL(scheme=url.scheme, host=address.host, port=address.port),
        auth=None if url.user is None else (url.user, url.password or ""),
    )


def _variable(kind: str) -> str:
    """The name that `getproxies` prefers: the one in lower case."""
    given = [name for name in os.environ if name.lower() == f"{kind}_proxy"]
    return max(given, key=str.islower, default="The proxy of the system")


def is_this_machine(host: str) -> bool:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _is_excluded(place: Address) -> bool:
    """True if NO_PROXY has its host, a domain around it, or a network around its address."""
    if proxy_bypass(place.host) or proxy_bypass(f"{place.host}:{place.port}"):
        return True
    address = _address(place.host)
    return address is not None and any(address in network for network in _excluded_networks())


def _excluded_networks() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = []
    for entry in getproxies().get("no", "").split(","):
        with suppress(ValueError):
            networks.append(ipaddress.ip_network(entry.strip().strip("[]"), strict=False))
    return networks


def _address(host: str) -> IPAddress | None:
    """The address that the host is written as, in any notation that the resolver takes."""
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None
    address = ipaddress.ip_address(found[0][4][0])
    return getattr(address, "ipv4_mapped", None) or address
