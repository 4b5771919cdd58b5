# SPDX-License-Identifier: MIT
"""Reports of a relay: a log message for each change of its state, a record for each turn."""

import asyncio

import structlog

from service.relay.observing import ObservedTurn, ObserveTurn, RelayState

log = structlog.get_logger("service.relay")


class Reports:
    def __init__(self, observe: ObserveTurn) -> None:
        self._observe = observe
        self._last_logged: tuple[RelayState, str | None] | None = None

    def log_state(self, state: RelayState, reason: str | None = None) -> None:
        """Logs a state once, until it changes."""
        if (state, reason) == self._last_logged:
            return
        self._last_logged = state, reason
        if reason is None:
            log.info("relay", state=state)
        else:
            log.warning("relay", state=state, reason=reason)

    def observe_later(self, turn: ObservedTurn) -> None:
        """Called by the loop, so that an observer that raises does not take the turn with it."""
        asyncio.get_running_loop().call_soon(self._observe, turn)
