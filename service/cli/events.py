# SPDX-License-Identifier: MIT
"""Commands of the events: `relay`."""

import argparse
from datetime import UTC, datetime

from service.bootstrap import logs
from service.bootstrap.settings import RelaySettings, load
from service.cli.arguments import Commands, moment
from service.cli.running import run
from service.relay.replay import Replayed

BEGINNING = datetime.min.replace(tzinfo=UTC)


def add_to(commands: Commands) -> None:
    relay = commands.add_parser(
        "relay",
        help="publish events to NATS JetStream",
        description="Publishes the events of SERVICE_DATABASE_URL to the stream"
        " SERVICE_NATS_STREAM at SERVICE_NATS_URL until SIGTERM. Of several relays one is active,"
        " and another takes over when it ends.",
    )
    relay.add_argument(
        "--ensure-stream", action="store_true", help="create the stream if it is missing"
    )
    instead = relay.add_mutually_exclusive_group()
    instead.add_argument("--parked", action="store_true", help="list the parked events, and end")
    instead.add_argument(
        "--retry-parked", action="store_true", help="queue parked events again, and end"
    )
    instead.add_argument(
        "--replay", action="store_true",
        help="publish events since --since that the stream lacks, and end",
    )  # fmt: skip
    instead.add_argument(
        "--audit", action="store_true",
        help="compare the events with the stream, since --since if it is given, and end",
    )  # fmt: skip
    relay.add_argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="for --replay and --audit: 2026-11-22T09:00:00Z",
    )
    relay.set_defaults(run=_relay, usage=relay)


def _relay(options: argparse.Namespace) -> int:
    if options.replay and not options.since:
        options.usage.error("--replay needs --since")
    if options.since and not (options.replay or options.audit):
        options.usage.error("--since belongs to --replay or --audit")
    settings = load(RelaySettings)
    logs.configure(settings.log_level)
    logs.warn_of_ignored(settings.ignored())
    logs.warn_of_pooler(settings.pooler_doubt())

    replayed = Replayed()
    return run(
        _relay_command(options, settings, replayed),
        if_stopped=lambda: _sentence_of_stop(options, replayed),
    )


def _sentence_of_stop(options: argparse.Namespace, replayed: Replayed) -> str:
    if options.audit:
        return "Stopped. The audit changes nothing; with a later --since it takes less time."
    if options.replay:
        return (
            f"Stopped. {replayed.published} events were published again; the same command goes on."
        )
    return "Stopped."


async def _relay_command(
    options: argparse.Namespace, settings: RelaySettings, replayed: Replayed
) -> int:
    # They import the broker's client.
    from service.bootstrap import relay, relay_commands  # noqa: PLC0415  as above

    if options.parked:
        return await relay_commands.list_parked(settings)
    if options.retry_parked:
        return await relay_commands.retry_parked(settings)
    if options.audit:
        return await relay_commands.audit(settings, options.since or BEGINNING)
    if options.replay:
        return await relay_commands.replay(
            settings, options.since, ensure_stream=options.ensure_stream, total=replayed
        )
    await relay.run(settings, ensure_stream=options.ensure_stream)
    return 0
