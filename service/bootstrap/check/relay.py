# SPDX-License-Identifier: MIT
"""Looks at what `relay` needs: its role in the database, the broker, and the stream."""

from collections.abc import AsyncIterator

from service.application.errors import WrongInstallation, WrongLogin
from service.application.outbox import Backlog
from service.bootstrap.check.database import FAILURES, connected, unusable
from service.bootstrap.check.findings import Finding, not_ok, ok, warning
from service.bootstrap.relay import open_broker, open_outbox, wanted_stream
from service.bootstrap.settings import RelaySettings
from service.persistence.checks import OK, check_tables
from service.persistence.errors import explain
from service.relay.broker import Broker
from service.relay.errors import BrokerUnavailable, StreamMissing, WrongStream
from service.relay.servers import parse_servers
from service.relay.stream import require

_MIGRATE = "Run `python -m service migrate` of this version."
_GRANT = "Run `python -m service migrate --grant-relay-to LOGIN`, and give the relay this login."
_PERMISSIONS = "docs/events.md#permissions lists what the relay must be allowed."


async def check_database(settings: RelaySettings) -> AsyncIterator[Finding]:
    try:
        async with connected(settings) as connection:
            tables = await check_tables(connection)
        if tables != OK:
            yield not_ok("tables", tables, _MIGRATE)
            return
        async with open_outbox(settings) as outbox:
            backlog = await outbox.backlog()
    except WrongLogin as exc:
        yield not_ok("role of the relay", str(exc).partition(". ")[0], _GRANT)
    except WrongInstallation as exc:
        yield not_ok("tables", explain(exc), _MIGRATE)
    except FAILURES as exc:
        yield unusable(exc)
    else:
        yield ok("role of the relay", OK)
        yield _describe_queue(backlog)


def _describe_queue(backlog: Backlog) -> Finding:
    text = f"{backlog.pending} events wait, {backlog.parked} are parked"
    if backlog.parked:
        return warning("queue", text, "docs/events.md#conflicts says what to do with parked ones.")
    return ok("queue", text)


async def check_broker(settings: RelaySettings) -> AsyncIterator[Finding]:
    servers = parse_servers(settings.nats_url.get_secret_value())
    names = " or ".join(f"{host}:{port}" for host, port in (each.address for each in servers))
    async with open_broker(settings) as broker:
        try:
            await broker.wait_until_connected()
        except BrokerUnavailable as exc:
            advice = "Check SERVICE_NATS_URL, the server and its network (docs/events.md)."
            yield not_ok("broker", f"{names}: {exc}", advice)
            return
        yield ok("broker", f"{names} accepts the login")
        async for finding in _check_stream(settings, broker):
            yield finding


async def _check_stream(settings: RelaySettings, broker: Broker) -> AsyncIterator[Finding]:
    name = settings.nats_stream
    try:
        await require(broker, wanted_stream(settings))
    except StreamMissing as exc:
        yield not_ok("stream", str(exc), "Run `python -m service relay --ensure-stream` once.")
        return
    except WrongStream as exc:
        yield not_ok("stream", str(exc), f"Change it: `nats stream edit {name}`.")
        return
    except BrokerUnavailable as exc:
        yield not_ok("stream", str(exc), _PERMISSIONS)
        return
    yield _describe_stream(name, broker)
    try:
        await broker.require_permission()
    except BrokerUnavailable as exc:
        yield not_ok("publishing", str(exc), _PERMISSIONS)
    else:
        yield ok("publishing", "the login may publish events")


def _describe_stream(name: str, broker: Broker) -> Finding:
    if broker.is_atomic:
        return ok("stream", f"{name} is as the relay needs it")
    return warning(
        "stream",
        f"{name} does not accept atomic batches, so that a session's events are sent one by one",
        f"`nats stream edit {name} --allow-batch`",
    )
