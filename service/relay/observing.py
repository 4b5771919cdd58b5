"""Observation of a relay: one record after each turn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.application.outbox import Backlog


class RelayState(StrEnum):
    """Of the relays of a database one is active; the others stand by."""

    ACTIVE = "active"
    STANDBY = "standby"
    BROKER_UNAVAILABLE = "broker unavailable"
    DATABASE_UNAVAILABLE = "database unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTurn:
    """The result of a turn.

    `parked`: events taken out of the queue. `conflicts`: those of them in whose place the stream
    holds another message.
    `oldest_at`: the time of the oldest event in the queue when the turn began.
    `seconds_to_ack`: for each published event, from its time to the acknowledgement of its batch.
    `backlog`: when the turn began; counted every few seconds, and None in between.
    """

    state: RelayState
    published: int = 0
    duplicates: int = 0
    parked: int = 0
    conflicts: int = 0
    oldest_at: datetime | None = None
    seconds_to_ack: Sequence[float] = ()
    backlog: Backlog | None = None


ObserveTurn = Callable[[ObservedTurn], None]


def ignore_turn(_turn: ObservedTurn) -> None:
    pass
