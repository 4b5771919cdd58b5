# SPDX-License-Identifier: MIT
"""What an API does at the moment, read at each scrape: the gauges."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.observability import catalogue
from service.observability.families import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiState:
    """`waiting`: requests in the queue, by their kind; each kind has a queue of its own."""

    waiting: Mapping[str, int]
    queue_limit: int
    connections_in_use: int
    connections_idle: int
    connections_limit: int
    connection_waiters: int
    is_ready: bool
    is_writable: bool

    def snapshot(self) -> Snapshot:
        return {
            catalogue.QUEUE_LENGTH.name: {(kind,): [n] for kind, n in self.waiting.items()},
            catalogue.QUEUE_LIMIT.name: {(kind,): [self.queue_limit] for kind in self.waiting},
            catalogue.CONNECTIONS.name: {
                ("in_use",): [self.connections_in_use],
                ("idle",): [self.connections_idle],
            },
            catalogue.CONNECTIONS_LIMIT.name: {(): [self.connections_limit]},
            catalogue.CONNECTION_WAITERS.name: {(): [self.connection_waiters]},
            catalogue.READY.name: {(): [float(self.is_ready)]},
            catalogue.WRITABLE.name: {(): [float(self.is_writable)]},
        }
