# SPDX-License-Identifier: MIT
"""Looks at what `serve` needs: its settings, its role in the database, and the keys for tokens."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx2

from service.bootstrap import open_files
from service.bootstrap.check.database import FAILURES, connected, unusable
from service.bootstrap.check.findings import Finding, not_ok, ok, warning
from service.bootstrap.proxies import client_options
from service.bootstrap.settings import Settings
from service.bootstrap.token_settings import find_doubts
from service.http.jwks import IgnoredKey, read_keys
from service.http.key_set_download import FETCH_ERRORS, download, fetch_cause
from service.persistence.checks import OK, check_all
from service.persistence.errors import DATABASE
from service.urls import parse_server_url

NAMED = 10
"""Most keys that a finding names."""

_MIGRATE = "Run `python -m service migrate` of this version."
_GRANT = "Run `python -m service migrate --grant-to LOGIN`, and give the API this login alone."
_ADVICE = {
    DATABASE: "Let SERVICE_DATABASE_URL lead to the primary, or list all servers in it.",
    "role": _GRANT,
    "policies": f"{_MIGRATE} It makes the policies; find out who changed them.",
    "schema": _MIGRATE,
}
_NAMES = {DATABASE: "writable", "role": "role of the API"}


def check_settings(settings: Settings) -> Iterator[Finding]:
    url = settings.jwks_url.get_secret_value() if settings.jwks_url else None
    doubts = find_doubts(issuer=settings.jwt_issuer, audience=settings.jwt_audience, jwks_url=url)
    for name, why in doubts.items():
        yield warning("settings", f"{name} looks wrong: {why}", f"Correct {name}, or ignore this.")
    wanted = settings.connections_max
    possible = open_files.available_for_connections(wanted, others=settings.database_pool_size)
    if possible < wanted:
        yield warning(
            "settings",
            f"the limit of open files allows {possible} connections of clients, not {wanted}",
            "Raise the hard limit of open files, or lower SERVICE_CONNECTIONS_MAX.",
        )


async def check_database(settings: Settings) -> AsyncIterator[Finding]:
    """The checks of /readyz."""
    results: dict[str, str] = {}
    try:
        async with connected(settings) as connection:
            await check_all(connection, results)
    except FAILURES as exc:
        yield unusable(exc)
    if results.get("role", OK) != OK and "cannot be read" in results.get("schema", ""):
        del results["schema"]
    for name, result in results.items():
        check = _NAMES.get(name, name)
        yield ok(check, OK) if result == OK else not_ok(check, result, _ADVICE[name])


async def check_keys(settings: Settings) -> AsyncIterator[Finding]:
    if settings.jwt_secret:
        yield ok("jwt secret", "it verifies HS256 tokens")
    if settings.jwks_url:
        async for finding in _check_key_set(settings, settings.jwks_url.get_secret_value()):
            yield finding


async def _check_key_set(settings: Settings, url: str) -> AsyncIterator[Finding]:
    seconds = settings.jwks_timeout_seconds
    try:
        async with httpx2.AsyncClient(**client_options(url)) as client, asyncio.timeout(seconds):
            started = time.perf_counter()
            usable, ignored = read_keys(await download(client, url))
            took = time.perf_counter() - started
    except FETCH_ERRORS as exc:
        yield not_ok(
            "key set",
            f"{_server(url)}: {fetch_cause(exc)}",
            "Check SERVICE_JWKS_URL, the issuer, and the proxy of this machine (HTTPS_PROXY).",
        )
        return
    if ignored:
        yield warning("key set", _describe_ignored(ignored), "Their tokens are refused.")
    if usable:
        first = list(usable.items())[:NAMED]
        kinds = ", ".join(f"{key_id} ({key.algorithm_name})" for key_id, key in first)
        yield ok("key set", f"fetched in {took * 1000:.0f} ms; usable: {kinds}")
    else:
        yield not_ok(
            "key set",
            f"{_server(url)}: it has no usable key",
            "Let the issuer sign with ES256 or RS256, or set SERVICE_JWT_SECRET for HS256.",
        )


def _describe_ignored(ignored: list[IgnoredKey]) -> str:
    return "ignored: " + "; ".join(f"{each['key_id']}, {each['why']}" for each in ignored[:NAMED])


def _server(url: str) -> str:
    """Without the login, path and query, which may be secret."""
    [address] = parse_server_url(url, "https", "http").addresses
    return f"{address.host}:{address.port}" if address.port else address.host
