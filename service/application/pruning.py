# SPDX-License-Identifier: MIT
"""Removes what is older than its retention: idempotency keys, and events that were published."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.application.outbox import EventKey
from service.application.progress import Progress

PAGE_SIZE = 1000
"""Few, so that a transaction lasts some milliseconds."""

_BEGINNING: EventKey = (UUID(int=0), UUID(int=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is older goes; None keeps all."""

    keys_before: datetime | None
    events_before: datetime | None


@dataclass(slots=True)
class Pruned:
    """Numbers of idempotency keys and of events; also right after an interruption."""

    keys: int = 0
    events: int = 0

    def add(self, other: "Pruned") -> None:
        self.keys += other.keys
        self.events += other.events


class OldRows(Protocol):
    """Events in pages of their keys, each in a short transaction of its own."""

    async def estimate(self) -> int:
        """About how many events there are."""

    async def next_page(self, behind: EventKey, size: int) -> Sequence[EventKey]: ...

    async def count(self, behind: EventKey, last: EventKey, retention: Retention) -> Pruned:
        """What `prune` would remove."""

    async def prune(self, behind: EventKey, last: EventKey, retention: Retention) -> Pruned:
        """Skips rows that another transaction holds, and events that are queued or parked.

        Records with the first event that goes that earlier ones may be gone, for the audit of the
        stream: a run that deletes none records nothing.
        """

    async def confirm(self) -> None:
        """Waits until no failover can bring back what was removed. Raises CommitUnknown."""


async def prune(
    rows: OldRows,
    retention: Retention,
    *,
    is_dry: bool,
    pause: float,
    progress: Progress,
    pruned: Pruned,
) -> None:
    """Goes through all events; adds to `pruned` as it goes. Safe to repeat after an interruption.

    `is_dry`: only counts. Pauses after each page of which it removed something, in seconds.
    """
    progress.begin("prune", await rows.estimate(), "events")
    remove, behind = (rows.count if is_dry else rows.prune), _BEGINNING
    while page := await rows.next_page(behind, PAGE_SIZE):
        done = await remove(behind, page[-1], retention)
        pruned.add(done)
        progress.advance(len(page))
        if len(page) < PAGE_SIZE:  # the last user may write events all the time
            break
        behind = page[-1]
        if not is_dry and (done.keys or done.events):
            await asyncio.sleep(pause)
    if not is_dry:
        await rows.confirm()
