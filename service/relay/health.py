# SPDX-License-Identifier: MIT
"""The health of a relay, for probes: which state it is in, and whether it still goes on.

Probes ask in a thread of their own, so that they are answered while the relay is stuck. Only a
relay that has not gone on for much longer than all its time limits allow is not alive: an outage of
the database or of the broker always ends a step in time, and a restart would not help.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.relay.observing import ObservedTurn, RelayState

STUCK_FACTOR = 10
"""A publish may wait for the broker nine times, each up to the time limit of an answer."""

READY = {RelayState.ACTIVE, RelayState.STANDBY}


@dataclass(frozen=True, slots=True)
class Condition:
    """`state`: None before the first turn."""

    state: RelayState | None
    is_stuck: bool
    is_alive: bool

    @property
    def is_ready(self) -> bool:
        return self.state in READY and not self.is_stuck

    @property
    def text(self) -> str:
        return "stuck" if self.is_stuck else self.state or "starting"


class Health:
    """`stuck_after`: seconds without a step after which the relay counts as stuck."""

    def __init__(self, stuck_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stuck_after = stuck_after
        self._clock = clock
        self._state: RelayState | None = None
        self._stepped_at = clock()

    def step(self) -> None:
        self._stepped_at = self._clock()

    def observe(self, turn: ObservedTurn) -> None:
        self._state = turn.state

    def condition(self) -> Condition:
        silent = self._clock() - self._stepped_at
        return Condition(
            state=self._state,
            is_stuck=silent >= self._stuck_after,
            is_alive=silent < STUCK_FACTOR * self._stuck_after,
        )
