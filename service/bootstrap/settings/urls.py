# SPDX-License-Identifier: MIT
"""URLs in settings. Each is a secret, because it may contain a login."""

from collections.abc import Callable

from pydantic import SecretStr

from service.persistence.database_url import parse_database_url
from service.relay.servers import parse_servers
from service.urls import WrongUrl, parse_server_url


def check_database_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value().strip().replace("postgresql+asyncpg://", "postgresql://", 1)
    try:
        parse_database_url(url)
    except WrongUrl as exc:
        raise ValueError(str(exc)) from None
    return SecretStr(url)


def check_http_url(value: SecretStr) -> SecretStr:
    what = "a URL that begins with https:// or http://"
    url = value.get_secret_value().strip()
    _require(url, what, parse_server_url, "https", "http")
    return SecretStr(url)


def check_nats_urls(value: SecretStr) -> SecretStr:
    what = (
        "one or more URLs that begin with nats:// or tls://, separated by commas (%2C in a login)"
    )
    _require(value.get_secret_value(), what, parse_servers)
    return value


def _require(url: str, what: str, parse: Callable[..., object], *schemes: str) -> None:
    try:
        parse(url, *schemes)
    except WrongUrl as exc:
        raise ValueError(f"it must be {what}, but {exc}") from None
