"""Sessions as clients see them. Pure."""

from datetime import UTC, datetime
from typing import Any

import orjson

from service.domain.session import Session


def envelope(data: dict[str, Any]) -> bytes:
    return orjson.dumps({"data": data, "meta": {}})


def session_envelope(session: Session) -> bytes:
    return envelope({"session": session_dto(session)})


def session_dto(session: Session) -> dict[str, Any]:
    return {
        "id": str(session.id),
        "status": session.status,
        "sessionDate": timestamp(session.session_date),
        "sets": session.sets,
        "totalReps": session.total_reps,
        "rpe": session.rpe,
        "notes": session.notes,
        "createdAt": timestamp(session.created_at),
        "updatedAt": timestamp(session.updated_at),
    }


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def etag(version: int) -> str:
    """Strong: a session's version and its representation change together."""
    return f'"{version}"'


def location(session: Session) -> str:
    return f"/sessions/{session.id}"
