# SPDX-License-Identifier: MIT
"""The parts of the HTTP contract that both conventional Python contenders need."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException

TEXT_MAX_LENGTH = {"REASON": 500, "NOTES": 2000}
ONE_IN_PROGRESS = "sessions_one_in_progress_idx"
ONE_EVENT_PER_KEY = "events_idempotency_key_idx"

STATUS_OF_CODE = {
    "VALIDATION_ERROR": 400,
    "UNAUTHENTICATED": 401,
    "SESSION_NOT_FOUND": 404,
    "ACTIVE_SESSION_EXISTS": 409,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "INVALID_REASON": 422,
    "INVALID_NOTES": 422,
    "NO_REPETITIONS": 422,
}
_STAGES = {"planned": 0, "in_progress": 1, "completed": 2, "failed": 2}
_FORBIDDEN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"')


class Refused(HTTPException):
    """An HTTPException, because FastAPI reports any other error in a body as bad JSON."""

    def __init__(
        self,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        status: int | None = None,
    ) -> None:
        challenge = {"WWW-Authenticate": 'Bearer realm="training-sessions"'}
        headers = challenge if code == "UNAUTHENTICATED" else None
        super().__init__(status or STATUS_OF_CODE[code], message, headers)
        self.code = code
        self.details = details or {}

    def body(self, request_id: str) -> dict[str, Any]:
        details = {**self.details, "requestId": request_id}
        return {"error": {"code": self.code, "message": self.detail, "details": details}}


def not_found() -> Refused:
    return Refused("SESSION_NOT_FOUND", "There is no such session.")


def active_session_exists(active: UUID | None) -> Refused:
    return Refused(
        "ACTIVE_SESSION_EXISTS",
        "Another session is in progress.",
        {"activeSessionId": str(active) if active else None},
    )


def require_status(session_id: UUID, status: str, *accepted: str) -> None:
    """A refusal names the first of the accepted statuses."""
    if status in accepted:
        return
    required = accepted[0]
    raise Refused(
        "INVALID_STATUS",
        f"The session is {status}; it has to be {required}.",
        {"sessionId": str(session_id), "currentStatus": status, "requiredStatus": required},
        status=422 if _STAGES[status] < min(_STAGES[each] for each in accepted) else 409,
    )


def require_repetitions(session_id: UUID, sets: Sequence[int | None]) -> None:
    if not any(sets):
        details = {"sessionId": str(session_id)}
        raise Refused("NO_REPETITIONS", "A completed session needs a repetition.", details)


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def etag(version: int) -> str:
    return f'"{version}"'


def require_match(if_match: str | None, version: int) -> None:
    """Strong comparison: a weak tag never matches."""
    if if_match is None or if_match.strip() == "*" or etag(version) in _tags(if_match):
        return
    raise Refused("PRECONDITION_FAILED", "The session has changed since.")


def is_named_by(if_none_match: str | None, version: int) -> bool:
    if if_none_match is None:
        return False
    tags = {tag.removeprefix("W/") for tag in _tags(if_none_match)}
    return if_none_match.strip() == "*" or etag(version) in tags


def _tags(header: str) -> list[str]:
    return _ENTITY_TAG.findall(header)


def idempotency_key(header: str | None) -> str | None:
    if header is None:
        return None
    key = header.strip('"')
    if not _KEY.fullmatch(key):
        raise Refused("VALIDATION_ERROR", "The idempotency key is not valid.")
    return key


def fingerprint(*asked: object) -> bytes:
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).digest()


def require_same_command(remembered: bytes, asked: bytes | None) -> None:
    if remembered != asked:
        raise Refused("IDEMPOTENCY_KEY_REUSED", "The key was used for another command.")


def normal_text(text: str | None, kind: str) -> str | None:
    """`kind`: REASON or NOTES."""
    normal = unicodedata.normalize("NFC", text or "").strip()
    if len(normal) > TEXT_MAX_LENGTH[kind]:
        raise Refused("VALIDATION_ERROR", "The text is too long.")
    if _FORBIDDEN.search(normal):
        raise Refused(f"INVALID_{kind}", "The text contains what cannot be kept.")
    return normal or None
