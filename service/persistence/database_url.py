# SPDX-License-Identifier: MIT
"""What a database URL, as libpq knows it, means for the driver: servers, login, TLS, settings."""

import getpass
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.persistence.libpq_environment import (
    ignored_variables,
    protecting_parameters,
    variables_of,
)
from service.persistence.tls import (
    check_choice,
    check_readable,
    mode_of,
    tls_arguments,
    unverified,
)
from service.persistence.url_parameters import (
    SERVER_SETTINGS,
    STATEMENT_CACHES,
    TLS_PARAMETERS,
    ignored_parameters,
)
from service.urls import Address, Url, WrongUrl, parse_host, parse_port, parse_url

Addresses = tuple[tuple[str, int], ...]

DEFAULT_PORT = 5432
CONNECT_TIMEOUT_MAX = 3600

_LOCAL_SERVER = ("/run/postgresql", "/var/run/postgresql", "/tmp", "localhost")  # noqa: S108  libpq looks there
"""Where a server of this machine may listen, for a URL without a host."""

_SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DatabaseTarget:
    """`arguments` are those of `asyncpg.connect`, except for the server.

    `ignored` are the names of parameters, and of variables of libpq, that have no effect.
    """

    addresses: Addresses
    session_attributes: str
    is_balanced: bool
    connect_timeout: int | None
    transaction_pooler: bool
    arguments: Mapping[str, Any]
    ignored: tuple[str, ...]

    @property
    def tls_mode(self) -> str:
        """As `sslmode` in libpq. On Unix sockets there is no TLS."""
        return mode_of(self.arguments)


def parse_database_url(text: str, environment: Mapping[str, str] = os.environ) -> DatabaseTarget:
    """Raises WrongUrl for everything that can be known to be wrong before anything connects."""
    if not text.lower().startswith(("postgresql://", "postgres://")):
        raise WrongUrl("it must be a URL that begins with postgresql://")
    url = parse_url(text, "postgresql", "postgres")
    in_url = _with_libpq_names({name: value for name, value in url.query if value})
    addresses = _addresses(url.addresses, in_url)
    in_environment = {
        name: value
        for name, value in protecting_parameters(environment).items()
        if name not in in_url and not (name in TLS_PARAMETERS and _are_local(addresses))
    }
    try:
        return _target(url, addresses, in_environment | in_url, ignored_variables(environment))
    except WrongUrl as exc:
        if not in_environment:
            raise
        variables = ", ".join(variables_of(in_environment.keys()))
        raise WrongUrl(f"{exc} ({variables} in the environment counts too)") from None


def _are_local(addresses: Addresses) -> bool:
    """On Unix sockets, libpq and asyncpg use no TLS."""
    return all(host.startswith("/") for host, _ in addresses)


def _with_libpq_names(given: dict[str, str]) -> dict[str, str]:
    """`ssl` is JDBC's and SQLAlchemy's name of `sslmode`."""
    ssl = given.pop("ssl", None)
    mode = "require" if ssl in {"true", "True"} else ssl
    return {"sslmode": mode} | given if mode else given


def _target(
    url: Url, addresses: Addresses, given: Mapping[str, str], variables: list[str]
) -> DatabaseTarget:
    ignored = ignored_parameters(given)
    tls = {name: value for name, value in given.items() if name in TLS_PARAMETERS}
    for name, choices in (
        ("target_session_attrs", _SESSION_ATTRIBUTES),
        ("load_balance_hosts", ("disable", "random")),
        ("gsslib", ("gssapi", "sspi")),
    ):
        check_choice(given, name, choices)
    return DatabaseTarget(
        addresses=addresses,
        session_attributes=given.get(
            "target_session_attrs", "read-write" if len(addresses) > 1 else "any"
        ),
        is_balanced=given.get("load_balance_hosts") == "random",
        connect_timeout=_connect_timeout(given),
        transaction_pooler=_is_transaction_pooler(given),
        arguments={
            **_login(url, given),
            **_tls(tls, addresses),
            "server_settings": _server_settings(given),
        },
        ignored=(*ignored, *sorted(unverified(tls)), *variables),
    )


def _tls(given: Mapping[str, str], addresses: Addresses) -> dict[str, Any]:
    checked = tls_arguments(given)
    return {"ssl": False, "direct_tls": False} if _are_local(addresses) else checked


def _addresses(hosts: tuple[Address, ...], given: Mapping[str, str]) -> Addresses:
    """As in libpq, the parameters `host` and `port` replace those before the path."""
    if "hostaddr" in given and (hosts or "host" in given):
        raise WrongUrl("the driver cannot use `hostaddr` and a host at once: remove one of them")
    if listed := given.get("host") or given.get("hostaddr"):
        hosts = tuple(Address(parse_host(each), None) for each in listed.split(","))
    hosts = hosts or tuple(Address(each, None) for each in _LOCAL_SERVER)
    ports = [parse_port(each) for each in given["port"].split(",")] if "port" in given else []
    if len(ports) not in {0, 1, len(hosts)}:
        raise WrongUrl("`port` must have one number, or as many as there are hosts")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return tuple(
        (each.host, ports[place] if ports else each.port or DEFAULT_PORT)
        for place, each in enumerate(hosts)
    )


def _login(url: Url, given: Mapping[str, str]) -> dict[str, str | None]:
    if "passfile" in given:
        _check_password_file(given["passfile"])
    user = given.get("user") or url.user or _login_of_this_process()
    database = given.get("dbname") or given.get("database") or url.path.removeprefix("/")
    return {
        "user": user,
        "password": given.get("password") or url.password or None,
        "database": database or user,  # as in libpq
    } | {name: given[name] for name in ("passfile", "krbsrvname", "gsslib") if name in given}


def _login_of_this_process() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        raise WrongUrl("it names no user: write one before the host, such as `training@`") from None


def _check_password_file(path: str) -> None:
    """The driver would ignore such a file."""
    check_readable("passfile", path)
    if Path(path).stat().st_mode & _OPEN_TO_OTHERS:
        raise WrongUrl("the file of `passfile` is open to other users; its mode must be 0600")


def _connect_timeout(given: Mapping[str, str]) -> int | None:
    text = given.get("connect_timeout")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= CONNECT_TIMEOUT_MAX):
        raise WrongUrl(f"`connect_timeout` must be seconds from 1 to {CONNECT_TIMEOUT_MAX}")
    return int(text)


def _is_transaction_pooler(given: Mapping[str, str]) -> bool:
    """Prisma's `pgbouncer` promises a pooler in transaction mode; others turn a cache off."""
    check_choice(given, "pgbouncer", ("true", "false"))
    has_no_cache = any(given.get(name) == "0" for name in STATEMENT_CACHES)
    return has_no_cache or given.get("pgbouncer") == "true"


def _server_settings(given: Mapping[str, str]) -> dict[str, str]:
    settings = {name: value for name, value in given.items() if name in SERVER_SETTINGS}
    if name := given.get("fallback_application_name"):
        settings.setdefault("application_name", name)
    schema = given.get("schema", "public")
    if schema != "public":  # a pooler may refuse the setting, so the default is not sent
        settings.setdefault("search_path", '"{}"'.format(schema.replace('"', '""')))
    return settings
