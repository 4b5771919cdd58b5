# SPDX-License-Identifier: MIT
"""The end of a turn: its results are settled in the queue, and told to the observer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from service.application.outbox import Backlog, EventToPark, Turn
from service.relay.batch import Batch
from service.relay.conflicts import log_conflicts
from service.relay.delivery import Delivery
from service.relay.observing import ObservedTurn, RelayState

log = structlog.get_logger("service.relay")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenTurn:
    """`is_whole`: the turn read all events of the queue. `backlog`: None if it was not counted."""

    batch: Batch
    delivery: Delivery
    backlog: Backlog | None
    is_whole: bool

    def observed(self, *, seconds: float, now: datetime) -> ObservedTurn:
        delivery = self.delivery
        return ObservedTurn(
            state=RelayState.BROKER_UNAVAILABLE if delivery.outage else RelayState.ACTIVE,
            leads=True,
            seconds=seconds,
            taken=len(self.batch.queued),
            published=len(delivery.published),
            duplicates=len(delivery.duplicates),
            parked=len(self.batch.to_park(delivery)),
            conflicts=len(delivery.conflicts),
            pending=self._pending(),
            oldest_at=self._oldest_at(),
            seconds_to_ack=[
                (now - each.occurred_at).total_seconds() for each in delivery.published
            ],
            backlog=self.backlog,
        )

    def _pending(self) -> int | None:
        if self.is_whole:
            return len(self.batch.queued)
        return self.backlog.pending if self.backlog else None

    def _oldest_at(self) -> datetime | None:
        return next((each.event.occurred_at for each in self.batch.queued if each.event), None)


async def settle(turn: Turn, batch: Batch, delivery: Delivery) -> None:
    """Commits: removes what was acknowledged from the queue, and parks what was refused."""
    settled = batch.positions(delivery.acknowledged)
    parked = batch.to_park(delivery)
    if settled:
        await turn.remove(settled)
    if parked:
        await turn.park(parked)
    if settled or parked:
        await turn.commit()
    log_conflicts(delivery.conflicts)
    _log_parked(parked, delivery)


def _log_parked(parked: Sequence[EventToPark], delivery: Delivery) -> None:
    in_conflict = {str(conflict) for _, conflict in delivery.conflicts}
    others = [each.reason for each in parked if each.reason not in in_conflict]
    if others:
        log.warning("events parked", count=len(others), reasons=sorted(set(others)))
