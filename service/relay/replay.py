# SPDX-License-Identifier: MIT
"""Publishes history again, after a broker has lost messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.application.command import SessionKey
from service.application.errors import ConnectionLost
from service.application.outbox import OutboxEvent, Turn
from service.application.progress import NO_PROGRESS, Progress
from service.relay.conflicts import log_conflicts
from service.relay.delivery import Delivery, Publisher, deliver
from service.relay.lease import Lease
from service.relay.relay import RequireStream

PAGE_SIZE = 1000


@dataclass(slots=True)
class Replayed:
    """Numbers of events.

    `present`: the stream had them already. `conflicts`: it holds another message in their place.
    `refused`: the broker refused them. `blocked`: an earlier event of their session was refused or
    is in conflict.
    """

    published: int = 0
    present: int = 0
    refused: int = 0
    conflicts: int = 0
    blocked: int = 0

    @property
    def is_complete(self) -> bool:
        """True if the stream now holds every event."""
        return not (self.refused or self.conflicts or self.blocked)

    def count(self, done: Delivery) -> None:
        self.published += len(done.published)
        self.present += len(done.duplicates)
        self.refused += len(done.refused)
        self.conflicts += len(done.conflicts)
        self.blocked += len(done.blocked)


async def replay(
    turn: Turn,
    publisher: Publisher,
    require_stream: RequireStream,
    *,
    since: datetime,
    in_flight: int,
    lease: float,
    progress: Progress = NO_PROGRESS,
    total: Replayed | None = None,
) -> Replayed:
    """Publishes events since then that the stream does not have; safe to repeat.

    Leaves queued events to the relay, which waits for the end of this turn, so that the events of
    each session stay in order. Adds to `total` as it goes. Raises WrongStream, BrokerUnavailable,
    and TransactionFailed if the turn is lost.
    """
    total, blocked = total or Replayed(), None
    async with Lease(turn, lease):
        await require_stream()
    progress.begin("replay", await turn.count(since), "events")
    async for page in turn.history(since, PAGE_SIZE):
        events = [event for event in page if event.session_key != blocked]
        total.blocked += len(page) - len(events)
        async with Lease(turn, lease) as held:
            done = await deliver(events, publisher, in_flight=in_flight, may_go_on=held.is_held)
        total.count(done)
        progress.advance(len(page))
        log_conflicts(done.conflicts)
        if done.outage:
            raise done.outage
        if not done.is_complete(events):
            raise ConnectionLost
        blocked = _blocked_at_the_end(page, done, blocked)
    return total


def _blocked_at_the_end(
    page: Sequence[OutboxEvent], done: Delivery, before: SessionKey | None
) -> SessionKey | None:
    """The session that goes on on the next page, if one of its events was not published."""
    last = page[-1].session_key
    unpublished = {event.session_key for event, _ in (*done.refused, *done.conflicts)}
    return last if last == before or last in unpublished else None
