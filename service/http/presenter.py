# SPDX-License-Identifier: MIT
"""Builds the JSON of sessions and events, whose times are in UTC. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.application.ports import HistoryEvent
from service.domain.session import Session
from service.http.dtos import SessionDTO


def envelope(data: Mapping[str, Any], *, next_cursor: str | None = None) -> bytes:
    meta = {"nextCursor": next_cursor} if next_cursor else {}
    return orjson.dumps({"data": data, "meta": meta}, option=orjson.OPT_UTC_Z)


def session_envelope(session: Session) -> bytes:
    return envelope({"session": session_dto(session)})


def session_dto(session: Session) -> SessionDTO:
    return {
        "id": str(session.id),
        "status": session.status,
        "sessionDate": session.session_date,
        "startedAt": session.started_at,
        "endedAt": session.ended_at,
        "sets": session.sets,
        "totalReps": session.total_reps,
        "rpe": session.rpe,
        "notes": session.notes,
        "createdAt": session.created_at,
        "updatedAt": session.updated_at,
    }


def sessions_envelope(sessions: Sequence[Session], next_cursor: str | None) -> bytes:
    return envelope({"sessions": list(map(session_dto, sessions))}, next_cursor=next_cursor)


def events_envelope(events: Sequence[HistoryEvent], next_cursor: str | None) -> bytes:
    return envelope({"events": list(map(event_dto, events))}, next_cursor=next_cursor)


def event_dto(event: HistoryEvent) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "type": event.type,
        "sessionVersion": event.session_version,
        "occurredAt": event.occurred_at,
        "data": event.data,
    }


def etag(version: int) -> str:
    """Strong: a session's version and its representation change together."""
    return f'"{version}"'


def location(session: Session, root_path: str) -> str:
    """As clients see it: below the path at which a proxy publishes the API."""
    return f"{root_path}/sessions/{session.id}"
