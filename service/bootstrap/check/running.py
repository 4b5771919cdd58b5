# SPDX-License-Identifier: MIT
"""Runs the checks in the order in which they help: settings, database, then the others."""

from collections.abc import AsyncIterator

from service.bootstrap.check import database
from service.bootstrap.check import relay as of_relay
from service.bootstrap.check import serve as of_serve
from service.bootstrap.check.findings import Finding, ok
from service.bootstrap.settings import DatabaseSettings, RelaySettings, Settings

RELAY_CONNECTIONS = 2


async def look(serve: Settings | None, relay: RelaySettings | None) -> list[Finding]:
    """`serve`, `relay`: the settings of what is to be checked; None for what is not."""
    findings = [*_look_at_settings(serve, relay)]
    findings += [each async for each in _look_at_database(serve, relay)]
    if serve:
        findings += [each async for each in of_serve.check_keys(serve)]
    if relay:
        findings += [each async for each in of_relay.check_broker(relay)]
    return findings


def _look_at_settings(serve: Settings | None, relay: RelaySettings | None) -> list[Finding]:
    shared = _shared(serve, relay)
    doubts = [*database.check_settings(shared)] if shared else []
    doubts += of_serve.check_settings(serve) if serve else []
    return doubts or [ok("settings", "nothing looks wrong")]


async def _look_at_database(
    serve: Settings | None, relay: RelaySettings | None
) -> AsyncIterator[Finding]:
    """What both need is looked at once: their settings have the same environment."""
    wanted = serve.workers * serve.database_pool_size if serve else RELAY_CONNECTIONS
    if shared := _shared(serve, relay):
        try:
            async for finding in database.check_server(shared, connections=wanted):
                yield finding
        except database.FAILURES as exc:
            yield database.unusable(exc)
            return
    if serve:
        async for finding in of_serve.check_database(serve):
            yield finding
    if relay:
        async for finding in of_relay.check_database(relay):
            yield finding


def _shared(serve: Settings | None, relay: RelaySettings | None) -> DatabaseSettings | None:
    return serve or relay
