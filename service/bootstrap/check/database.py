# SPDX-License-Identifier: MIT
"""The database, for the API and the relay alike: reached, encrypted, pooled, its clock."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncConnection

from service.application.errors import DependencyUnavailable, TransactionFailed
from service.bootstrap.check.findings import Finding, not_ok, ok, warning
from service.bootstrap.clock import now
from service.bootstrap.migrations import create_unpooled_engine
from service.bootstrap.proxies import is_this_machine
from service.bootstrap.settings import DatabaseSettings
from service.persistence.connect_causes import server_name
from service.persistence.database_url import DatabaseTarget, parse_database_url
from service.persistence.engine import create_engine
from service.persistence.errors import DRIVER_ERRORS, explain
from service.persistence.inspection import Pooling, ServerFacts, find_pooling, read_facts

FAILURES = (DependencyUnavailable, TransactionFailed, *DRIVER_ERRORS)

CLOCK_SECONDS = 2.0
"""Clocks that are kept by NTP differ by less."""

_ENCRYPT = (
    "Add sslmode=verify-full and sslrootcert to SERVICE_DATABASE_URL (docs/configuration.md)."
)
_DOUBTS_OF_TLS = {
    "disable": "the connection is not encrypted",
    "allow": "the connection is encrypted only if the server insists",
    "prefer": "the connection is encrypted only if the server offers it, and with any certificate",
    "require": "the connection is encrypted, but the certificate of the server is not verified",
}


def check_settings(settings: DatabaseSettings) -> Iterator[Finding]:
    for name in settings.ignored():
        yield warning("settings", f"{name} has no effect", "Remove it.")


async def check_server(settings: DatabaseSettings, *, connections: int) -> AsyncIterator[Finding]:
    """`connections`: how many one replica may open. Raises FAILURES if it cannot be used at all."""
    target = parse_database_url(settings.database_url.get_secret_value())
    async with connected(settings) as connection:
        facts = await read_facts(connection, now)
    yield ok(
        "database",
        f"{server_name(target)} is PostgreSQL {facts.version}; the login is {facts.login}",
    )
    yield find_tls(target)
    yield await _pooler(settings, target)
    yield _connections(facts, connections)
    yield _clock(facts)
    yield find_durability(facts)


def unusable(exc: Exception) -> Finding:
    """`exc`: one of FAILURES."""
    return not_ok(
        "database", explain(exc), "Check SERVICE_DATABASE_URL, the server and its network."
    )


@asynccontextmanager
async def connected(settings: DatabaseSettings) -> AsyncIterator[AsyncConnection]:
    """Raises FAILURES."""
    engine = create_unpooled_engine(settings)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


def find_tls(target: DatabaseTarget) -> Finding:
    mode = target.tls_mode
    if all(host.startswith("/") or is_this_machine(host) for host, _ in target.addresses):
        return ok("tls", "the server is on this machine")
    if doubt := _DOUBTS_OF_TLS.get(mode):
        return warning("tls", f"{doubt} (sslmode={mode})", _ENCRYPT)
    return ok("tls", f"the certificate of the server is verified (sslmode={mode})")


async def _pooler(settings: DatabaseSettings, target: DatabaseTarget) -> Finding:
    is_expected = settings.database_transaction_pooler or target.transaction_pooler
    pooling = await _find_pooling(settings)
    if pooling is Pooling.TRANSACTION and not is_expected:
        return not_ok(
            "pooler",
            "a pooler in transaction mode answers, with which prepared statements fail",
            "Set SERVICE_DATABASE_TRANSACTION_POOLER=true.",
        )
    if pooling is Pooling.NONE and is_expected:
        return warning(
            "pooler",
            "the server itself seems to answer, and statements are not prepared for nothing",
            "Set SERVICE_DATABASE_TRANSACTION_POOLER=false if there is no pooler.",
        )
    if pooling is Pooling.SESSION and not is_expected:
        return warning(
            "pooler",
            "a pooler answers, which seems to be in session mode",
            "Set SERVICE_DATABASE_TRANSACTION_POOLER=true if it is in transaction mode.",
        )
    if pooling is Pooling.NONE and (doubt := settings.pooler_doubt()):
        return warning("pooler", doubt.reason, "Check SERVICE_DATABASE_TRANSACTION_POOLER.")
    return ok("pooler", "as the settings say: " + ("one" if is_expected else "none"))


async def _find_pooling(settings: DatabaseSettings) -> Pooling:
    engine = create_engine(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_timeout_seconds,
        transaction_pooler=True,  # with it, any mode of a pooler can be asked
        poolclass=NullPool,
    )
    try:
        return await find_pooling(engine)
    finally:
        await engine.dispose()


def _connections(facts: ServerFacts, wanted: int) -> Finding:
    text = f"a replica opens up to {wanted}, the server allows {facts.connections_max} in all"
    if wanted > facts.connections_max:
        return warning(
            "connections",
            text,
            "Lower SERVICE_WORKERS or SERVICE_DATABASE_POOL_SIZE, or raise max_connections.",
        )
    return ok("connections", text)


def _clock(facts: ServerFacts) -> Finding:
    ahead = facts.clock_ahead
    if abs(ahead) <= CLOCK_SECONDS:
        return ok("clock", f"this machine's and the server's differ by {abs(ahead):.1f} s")
    direction = "ahead of" if ahead > 0 else "behind"
    return warning(
        "clock",
        f"the server's is {abs(ahead):.1f} s {direction} this machine's",
        "Keep both by NTP: a wrong clock here refuses tokens, and gives sessions wrong times.",
    )


def find_durability(facts: ServerFacts) -> Finding:
    level = facts.synchronous_commit
    if level == "off":
        return warning(
            "durability",
            "synchronous_commit is off: a crash of PostgreSQL loses commands that were answered",
            f"Set synchronous_commit to on for {facts.login}, and restart.",
        )
    if level == "local" and facts.has_synchronous_standbys:
        return warning(
            "durability",
            "synchronous_commit is local: a failover loses commands that were answered, although"
            " there are synchronous standbys",
            f"Set synchronous_commit to on for {facts.login}, and restart.",
        )
    return ok("durability", f"synchronous_commit is {level}")
