# SPDX-License-Identifier: MIT
"""The ORM models of the tables."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKeyConstraint, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text}  # noqa: RUF012  its API


class TrainingSession(Base):
    __tablename__ = "sessions"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str]
    session_date: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    sets: Mapped[list[int | None]] = mapped_column(ARRAY(SmallInteger))
    rpe: Mapped[int | None] = mapped_column(SmallInteger)
    notes: Mapped[str | None]
    version: Mapped[int] = mapped_column()
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  its API

    @property
    def total_reps(self) -> int:
        return sum(repetitions or 0 for repetitions in self.sets)

    @property
    def position(self) -> tuple[datetime, UUID]:
        """Its place in the list."""
        return self.session_date, self.id


class Event(Base):
    __tablename__ = "events"
    __table_args__ = (
        ForeignKeyConstraint(["user_id", "session_id"], ["sessions.user_id", "sessions.id"]),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID]
    session_version: Mapped[int]
    event_type: Mapped[str]
    event_data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    occurred_at: Mapped[datetime]
    request_id: Mapped[str]
    idempotency_key: Mapped[str | None]
    command_fingerprint: Mapped[bytes | None]
    session_snapshot: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    session: Mapped[TrainingSession] = relationship()


class OutboxEntry(Base):
    """Omits `position`, which the role of the service may not read."""

    __tablename__ = "outbox"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
