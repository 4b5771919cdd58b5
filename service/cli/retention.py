# SPDX-License-Identifier: MIT
"""Commands that remove data: `erase` and `prune`."""

import argparse
import sys
from datetime import timedelta
from uuid import UUID

from service.application.erasure import Erased
from service.application.pruning import Pruned, Retention
from service.bootstrap.clock import now
from service.bootstrap.settings import DatabaseSettings, RelaySettings, load
from service.cli.arguments import Commands, age, fail
from service.cli.running import run


def add_to(commands: Commands) -> None:
    _add_erase(commands)
    _add_prune(commands)


def _add_erase(commands: Commands) -> None:
    erase = commands.add_parser(
        "erase",
        help="erase all data of a user",
        description="Deletes the user's sessions and events from SERVICE_DATABASE_URL, and their"
        " messages from the stream SERVICE_NATS_STREAM at SERVICE_NATS_URL. Its login needs"
        " `migrate --grant-eraser-to`. Cannot be undone. Safe to repeat: after an interruption, the"
        " same command goes on. docs/retention.md says what to do before, and what it does not"
        " reach.",
    )
    erase.add_argument("--user", type=UUID, required=True, metavar="ID", help="`sub` of its tokens")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    erase.add_argument(
        "--search-stream",
        action="store_true",
        help="then read all messages of the stream, and delete those that name the user; for a user"
        " whose rows were deleted in another way",
    )
    erase.set_defaults(run=_erase)


def _add_prune(commands: Commands) -> None:
    prune = commands.add_parser(
        "prune",
        help="remove old idempotency keys and old events",
        description="Removes idempotency keys and published events from SERVICE_DATABASE_URL, in"
        " small transactions beside the traffic. Leaves events that are not published yet. Its"
        " login needs `migrate --grant-eraser-to`. Safe to repeat. docs/retention.md says what is"
        " different afterwards.",
    )
    prune.add_argument(
        "--keys-older-than", type=age, metavar="AGE", help="30d or 8w; a later retry runs again"
    )
    prune.add_argument(
        "--events-older-than", type=age, metavar="AGE", help="with their keys; not the sessions"
    )
    prune.add_argument("--dry-run", action="store_true", help="only count")
    prune.set_defaults(run=_prune, usage=prune)


def _erase(options: argparse.Namespace) -> int:
    settings = load(RelaySettings)
    if not options.yes and not _is_confirmed(options.user):
        return fail("Nothing was erased. Type the id of the user, or use --yes.")
    erased = Erased()

    async def command() -> int:
        from service.bootstrap.erasing import erase_user  # noqa: PLC0415  the broker's client
        from service.bootstrap.progress import ProgressBar  # noqa: PLC0415  only commands need it

        with ProgressBar() as progress:
            await erase_user(
                settings,
                options.user,
                erased,
                search_stream=options.search_stream,
                progress=progress,
            )
        print(_report(erased, settings.nats_stream))
        return 0

    return run(
        command(),
        if_stopped=lambda: f"Stopped after {erased.sessions} sessions; the same command goes on.",
    )


def _is_confirmed(user: UUID) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"This erases all data of the user {user}, for ever.", file=sys.stderr)
    return input("Type the id of the user to go on: ").strip().lower() == str(user)


def _report(erased: Erased, stream: str) -> str:
    if erased == Erased():
        return "Nothing of this user was found."
    return (
        f"Erased {erased.sessions} sessions and {erased.events} events, of which {erased.queued}"
        f" were queued and {erased.parked} parked, and {erased.messages} messages of the stream"
        f" {stream}."
    )


def _prune(options: argparse.Namespace) -> int:
    if not (options.keys_older_than or options.events_older_than):
        options.usage.error("--keys-older-than or --events-older-than is needed")
    settings = load(DatabaseSettings)
    retention = _retention(options.keys_older_than, options.events_older_than)
    pruned = Pruned()

    async def command() -> int:
        from service.bootstrap.erasing import prune_old_rows  # noqa: PLC0415  as above
        from service.bootstrap.progress import ProgressBar  # noqa: PLC0415  as above

        with ProgressBar() as progress:
            await prune_old_rows(
                settings, retention, pruned, is_dry=options.dry_run, progress=progress
            )
        verb = "Would remove" if options.dry_run else "Removed"
        print(f"{verb} {pruned.keys} idempotency keys and {pruned.events} events.")
        return 0

    return run(
        command(),
        if_stopped=lambda: (
            f"Stopped. {pruned.keys} idempotency keys and {pruned.events} events were"
            f" {'counted' if options.dry_run else 'removed; the same command goes on'}."
        ),
    )


def _retention(keys: timedelta | None, events: timedelta | None) -> Retention:
    moment = now()
    return Retention(
        keys_before=moment - keys if keys else None,
        events_before=moment - events if events else None,
    )
