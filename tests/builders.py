# SPDX-License-Identifier: MIT
"""Builders of sessions, tokens and commands, with keyword overrides."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
from uuid_utils.compat import uuid7

from service.application.command import Command
from service.application.commands import FailSession
from service.domain.session import Session, SessionStatus
from tests.leaks import never_log_words, never_logged

SECRET = never_logged("a secret of the tests that is long enough")
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
"""The URL of a server that does not exist."""

MORNING = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)


def a_session(**overrides: Any) -> Session:
    status = overrides.get("status", SessionStatus.IN_PROGRESS)
    facts: dict[str, Any] = {
        "user_id": uuid4(),
        "id": uuid7(),
        "status": status,
        "session_date": MORNING,
        "started_at": None if status == "planned" else MORNING,
        "ended_at": MORNING if status in {"completed", "failed"} else None,
        "sets": (12, 10, None),
        "rpe": 7,
        "notes": "knee felt fine",
        "version": 1,
        "created_at": MORNING,
        "updated_at": MORNING,
    }
    session = Session(**facts | overrides)
    never_log_words(session.notes or "")
    return session


def a_command(
    session: Session | None = None, kind: type[Command] = FailSession, **overrides: Any
) -> Command:
    session = session or a_session()
    facts: dict[str, Any] = {
        "user_id": session.user_id,
        "session_id": session.id,
        "request_id": "a-request",
    }
    return kind(**facts | overrides)


def claims_of(user_id: UUID | None = None, **overrides: Any) -> dict[str, Any]:
    """The claims of a Supabase access token; an override of None omits the claim."""
    now = datetime.now(UTC)
    claims: dict[str, Any] = {
        "iss": "https://abc.supabase.co/auth/v1",
        "aud": "authenticated",
        "exp": int((now + timedelta(days=1)).timestamp()),
        "iat": int(now.timestamp()),
        "sub": str(user_id or uuid4()),
        "email": "runner@example.com",
        "role": "authenticated",
        "session_id": str(uuid4()),
        "is_anonymous": False,
    }
    claims |= overrides
    return {name: value for name, value in claims.items() if value is not None}


def a_token(
    user_id: UUID | None = None,
    *,
    key: Any = SECRET,
    algorithm: str = "HS256",
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    return jwt.encode(claims_of(user_id, **claims), key, algorithm=algorithm, headers=headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def code_points(text: str) -> str:
    """An id for pytest, which escapes other ids again when it collects them again."""
    return " ".join(f"{ord(character):04X}" for character in text[:12])
