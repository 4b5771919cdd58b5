# SPDX-License-Identifier: MIT
"""The commands of an operator of the relay. Each prints its result and returns the exit code."""

import sys
from collections import Counter
from datetime import datetime

from service.bootstrap import relay
from service.bootstrap.progress import ProgressBar
from service.bootstrap.settings import RelaySettings
from service.relay.findings import Finding, Kind
from service.relay.replay import Replayed


async def list_parked(settings: RelaySettings) -> int:
    for event in await relay.parked(settings):
        print(event.parked_at, event.event_id, event.session_id, event.type, event.reason)
    return 0


async def retry_parked(settings: RelaySettings) -> int:
    print(f"{await relay.retry_parked(settings)} parked events are in the queue again.")
    return 0


async def audit(settings: RelaySettings, since: datetime) -> int:
    """1 if the events of the database and the messages of the stream differ."""
    numbers = Counter[Kind]()
    with ProgressBar() as progress:

        def report(finding: Finding) -> None:
            numbers[finding.kind] += 1
            progress.print(f"{finding.kind}: {_printable(finding.text)}")

        done = await relay.audit_stream(settings, since, report, progress)
    found = ", ".join(f"{numbers[kind]} {kind}" for kind in Kind)
    print(f"{done.events} events and {done.messages} messages were compared: {found}.")
    if done.pruned:
        print(f"The events of {done.pruned} messages may have been pruned.")
    left_out = done.left_out
    print(f"{left_out.pending} queued and {left_out.parked} parked events were left out.")
    if numbers:
        print("docs/events.md#audit says what to do.", file=sys.stderr)
    return int(bool(numbers))


async def replay(
    settings: RelaySettings, since: datetime, *, ensure_stream: bool, total: Replayed
) -> int:
    """1 if the stream still lacks an event. Adds to `total` as it goes."""
    with ProgressBar() as progress:
        done = await relay.publish_history(
            settings, since, ensure_stream=ensure_stream, progress=progress, total=total
        )
    print(
        f"{done.published} events were published again, the stream had {done.present},"
        f" and refused {done.refused}."
    )
    if not done.is_complete:
        print(
            f"{done.conflicts} events are in conflict with other messages of the stream, and"
            f" {done.blocked} wait behind an earlier event of their session."
            " docs/events.md#conflicts says what to do.",
            file=sys.stderr,
        )
    return int(not done.is_complete)


def _printable(text: str) -> str:
    """A foreign subject may hold characters that a terminal obeys."""
    return "".join(each if each.isprintable() else "?" for each in text)
