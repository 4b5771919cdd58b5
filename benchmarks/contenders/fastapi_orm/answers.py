# SPDX-License-Identifier: MIT
"""Models of the answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from benchmarks.contenders.schemas import CamelCase


class SessionDto(CamelCase):
    id: UUID
    status: str
    session_date: datetime
    started_at: datetime | None
    ended_at: datetime | None
    sets: list[int | None]
    total_reps: int
    rpe: int | None
    notes: str | None
    created_at: datetime
    updated_at: datetime


class SessionData(CamelCase):
    session: SessionDto


class SessionsData(CamelCase):
    sessions: list[SessionDto]


class SessionsAnswer(CamelCase):
    data: SessionsData
    meta: dict[str, Any] = Field(default_factory=dict)


class SessionAnswer(CamelCase):
    data: SessionData
    meta: dict[str, Any] = Field(default_factory=dict)
