"""Publishing history again, for when a broker has lost what it had."""

from dataclasses import dataclass
from datetime import datetime

from service.application.errors import ConnectionLost
from service.application.outbox import Turn
from service.relay.delivery import Publisher, deliver
from service.relay.lease import Lease
from service.relay.relay import RequireStream

PAGE = 1000


@dataclass(slots=True)
class Replayed:
    """`present`: events that the stream had; `refused`: that it does not take."""

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
    """Publishes what happened since and is not in the stream; safe to repeat.

    Events that wait in the queue are left to the relay, which stands by meanwhile, so that each
    session's are in order. Raises WrongStream, BrokerUnavailable, and TransactionFailed where the
    turn is lost.
    """
    total = Replayed()
    async with Lease(turn, lease):
        await require_stream()
    async for page in turn.history(since, PAGE):
        async with Lease(turn, lease) as held:
            done = await deliver(page, publisher, in_flight=in_flight, may_go_on=held.is_held)
        total.published += len(done.published)
        total.present += len(done.duplicates)
        total.refused += len(done.refused) + len(done.held_back)
        if done.outage:
            raise done.outage
        if not done.is_complete(page):
            raise ConnectionLost
    return total
