"""Publishes history again, after a broker has lost messages."""

from dataclasses import dataclass
from datetime import datetime

from service.application.errors import ConnectionLost
from service.application.outbox import Turn
from service.relay.delivery import Publisher, deliver
from service.relay.lease import Lease
from service.relay.relay import RequireStream

PAGE_SIZE = 1000


@dataclass(slots=True)
class Replayed:
    """Numbers of events. `present`: the stream had them already."""

    published: int = 0
    present: int = 0
    refused: int = 0


async def replay(
    turn: Turn,
    publisher: Publisher,
    require_stream: RequireStream,
    *,
    since: datetime,
    in_flight: int,
    lease: float,
) -> Replayed:
    """Publishes events since then that the stream does not have; safe to repeat.

    Leaves queued events to the relay, which waits for the end of this turn, so that the events of
    each session stay in order. Raises WrongStream, BrokerUnavailable, and TransactionFailed if the
    turn is lost.
    """
    total = Replayed()
    async with Lease(turn, lease):
        await require_stream()
    async for page in turn.history(since, PAGE_SIZE):
        async with Lease(turn, lease) as held:
            done = await deliver(page, publisher, in_flight=in_flight, may_go_on=held.is_held)
        total.published += len(done.published)
        total.present += len(done.duplicates)
        total.refused += len(done.refused) + len(done.blocked)
        if done.outage:
            raise done.outage
        if not done.is_complete(page):
            raise ConnectionLost
    return total
