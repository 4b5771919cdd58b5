# SPDX-License-Identifier: MIT
"""Observation of a relay: one record after each turn, and a sign after each step of it."""

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
    """The result of a turn, or of an attempt to take one.

    `leads`: the relay held the leadership; only then are the facts of the queue known.
    `seconds`: from the begin of its transaction to the end; None if there was none.
    `taken`: how many events it read from the queue. `parked`: events taken out of it for a reason.
    `conflicts`: those of them in whose place the stream holds another message.
    `pending`: how many events the queue held when the turn began; None if they were more than a
    turn reads, and were not counted. `oldest_at`: the time of the oldest of them.
    `seconds_to_ack`: for each published event, from its time to the acknowledgement of its batch.
    `backlog`: when the turn began; counted every few seconds, and None in between.
    """

    state: RelayState
    leads: bool = False
    seconds: float | None = None
    taken: int = 0
    published: int = 0
    duplicates: int = 0
    parked: int = 0
    conflicts: int = 0
    pending: int | None = None
    oldest_at: datetime | None = None
    seconds_to_ack: Sequence[float] = ()
    backlog: Backlog | None = None


ObserveTurn = Callable[[ObservedTurn], None]


ObserveStep = Callable[[], None]
"""Called whenever the relay goes on, several times in a turn and once for each event."""


def ignore_turn(_turn: ObservedTurn) -> None:
    pass


def ignore_step() -> None:
    pass
