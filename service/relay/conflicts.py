# SPDX-License-Identifier: MIT
"""The log of conflicts: of events in whose place the stream holds another message."""

from collections.abc import Iterable

import structlog

from service.application.outbox import OutboxEvent
from service.relay.errors import EventConflict

log = structlog.get_logger("service.relay")


def log_conflicts(conflicts: Iterable[tuple[OutboxEvent, EventConflict]]) -> None:
    """Names both messages, and no data of a user."""
    for event, conflict in conflicts:
        log.error(
            "event in conflict with the stream",
            reason=str(conflict),
            event_id=str(event.id),
            session_id=str(event.session_id),
            subject=conflict.subject,
            stream_sequence=conflict.sequence,
        )
