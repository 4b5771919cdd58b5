"""What can be seen of a relay from the outside: a word after each turn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.application.outbox import Backlog


class State(StrEnum):
    """Of the relays of a database, one is active, and has the others in waiting."""

    ACTIVE = "active"
    STANDBY = "standby"
    BROKER_UNAVAILABLE = "broker unavailable"
    DATABASE_UNAVAILABLE = "database unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTurn:
    """What one try to publish came to.

    `oldest_at`: when the oldest event happened that was in the queue when the turn began.
    `seconds_to_ack`: for each event published, from when it happened until its batch was
    acknowledged.
    `backlog`: as it was when the turn began; counted every few seconds, and None in between.
    """

    state: State
    published: int = 0
    duplicates: int = 0
    parked: int = 0
    oldest_at: datetime | None = None
    seconds_to_ack: Sequence[float] = ()
    backlog: Backlog | None = None


Observe = Callable[[ObservedTurn], None]


def ignore(_turn: ObservedTurn) -> None:
    pass
