# SPDX-License-Identifier: MIT
"""All connections of one worker: how many there may be, and what each waits for."""

from collections.abc import Callable, Sized

import structlog

from service.http.connection.limits import LAST_REQUEST_SECONDS, LINGER_SECONDS, ConnectionLimits
from service.http.connection.waiting import Expiring, Waiting

SPARE = 16
"""Connections beyond the limit while every other one has a request under way. They reach the
health checks; other requests on them are refused."""

AVAILABLE_FROM = 0.9
"""Share of the limit below which the connections count as available again."""

log = structlog.get_logger("service.http")


class Pool:
    """A queue for each thing that connections wait for, and their common limit.

    A new connection above the limit takes the place of the one that has waited longest, because
    that one is the least likely to be needed.
    """

    def __init__(
        self, limits: ConnectionLimits, connections: Sized, is_stopping: Callable[[], bool]
    ) -> None:
        self.limits = limits
        self.is_stopping = is_stopping
        self._connections = connections
        self._is_full = False
        self._closed = 0
        self.silent = Waiting(limits.first_byte_timeout)
        self.head = Waiting(limits.head_timeout)
        self.body = Waiting(limits.body_timeout)
        self.idle = Waiting(limits.keep_alive)
        self.spare = Waiting(limits.head_timeout)
        self.ending = Waiting(LAST_REQUEST_SECONDS)
        self.lingering = Waiting(LINGER_SECONDS)
        self.unread = Waiting(limits.send_timeout)

    @property
    def is_overfull(self) -> bool:
        return len(self._connections) > self.limits.connections_max

    def admit_one_more(self) -> bool:
        """Makes room for a new connection; returns False if it must be a spare one."""
        if not self.is_overfull:
            return True
        self._note_full()
        if longest := self._longest_waiting():
            self._closed += 1
            longest.abort()
            return True
        self._limit_spare_connections()
        return False

    def note_lost(self) -> None:
        if self._is_full and len(self._connections) <= self.limits.connections_max * AVAILABLE_FROM:
            self._is_full = False
            log.warning("connections_available", closed_for_others=self._closed)

    def _note_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            self._closed = 0
            log.warning(
                "connections_full", limit=self.limits.connections_max, bound_by=self.limits.bound_by
            )

    def _longest_waiting(self) -> Expiring | None:
        queues = (self.lingering, self.idle, self.silent, self.head, self.body)
        return next((longest for queue in queues if (longest := queue.longest())), None)

    def _limit_spare_connections(self) -> None:
        too_many = len(self._connections) > self.limits.connections_max + SPARE
        if too_many and (longest := self.spare.longest()):
            longest.abort()
