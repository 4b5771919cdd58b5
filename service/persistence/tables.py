# SPDX-License-Identifier: MIT
"""The tables. Every key starts with the owner, so that the tables can be partitioned by owner.

Roles, policies and grants are defined in the migrations.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.domain.session import SessionStatus

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

_STATUSES = ", ".join(f"'{each}'" for each in SessionStatus)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("session_date", sa.DateTime(timezone=True), nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True)),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("sets", ARRAY(sa.SmallInteger), nullable=False),
    sa.Column("rpe", sa.SmallInteger),
    sa.Column("notes", sa.Text),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.CheckConstraint(f"status IN ({_STATUSES})", name="status"),
    sa.CheckConstraint("(status = 'planned') = (started_at IS NULL)", name="started_at"),
    sa.CheckConstraint(
        "(status IN ('completed', 'failed')) = (ended_at IS NOT NULL)", name="ended_at"
    ),
    sa.CheckConstraint(
        "cardinality(sets) <= 20 AND coalesce(array_ndims(sets), 1) = 1"
        " AND 1 <= ALL (sets) AND 1000 >= ALL (sets)",
        name="sets",
    ),
    sa.CheckConstraint("rpe BETWEEN 1 AND 10", name="rpe"),
    sa.CheckConstraint("version >= 1", name="version"),
    # The range of Python's datetime, in any time zone.
    sa.CheckConstraint(
        "session_date >= '0001-01-01Z' AND session_date < '9999-01-01Z'", name="session_date"
    ),
    sa.Index(
        "sessions_one_in_progress_idx",
        "user_id",
        unique=True,
        postgresql_where=sa.text("status = 'in_progress'"),
    ),
    sa.Index(
        "sessions_newest_first_idx", "user_id", sa.text("session_date DESC"), sa.text("id DESC")
    ),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("session_id", sa.Uuid, nullable=False),
    sa.Column("session_version", sa.Integer, nullable=False),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("event_data", JSONB, nullable=False),
    sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("command_fingerprint", sa.LargeBinary),
    sa.Column("session_snapshot", JSONB),
    sa.Column("traceparent", sa.Text),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.ForeignKeyConstraint(
        ["user_id", "session_id"], ["sessions.user_id", "sessions.id"], ondelete="CASCADE"
    ),
    sa.CheckConstraint("session_version >= 1", name="session_version"),
    sa.CheckConstraint(
        "num_nulls(idempotency_key, command_fingerprint, session_snapshot) IN (0, 3)",
        name="idempotency",
    ),
    sa.Index("events_history_idx", "user_id", "session_id", "session_version", unique=True),
    sa.Index(
        "events_idempotency_key_idx",
        "user_id",
        "idempotency_key",
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    ),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("event_id", sa.Uuid, nullable=False),
    sa.PrimaryKeyConstraint("position"),
)

parked_events = sa.Table(
    "parked_events",
    metadata,
    sa.Column("position", sa.BigInteger, autoincrement=False, nullable=False),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("event_id", sa.Uuid, nullable=False),
    sa.Column("session_id", sa.Uuid),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("parked_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("position"),
    sa.Index("parked_events_session_idx", "user_id", "session_id"),
)

prunings = sa.Table(
    "prunings",
    metadata,
    sa.Column("events_before", sa.DateTime(timezone=True), nullable=False),
    sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("events_before"),
)
