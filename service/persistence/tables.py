"""The tables. Every key starts with the owner, so that the tables can be partitioned by owner.

Roles, policies and grants are defined in the migrations.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

sessions = Table(
    "sessions",
    metadata,
    Column("user_id", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("session_date", DateTime(timezone=True), nullable=False),
    Column("sets", ARRAY(SmallInteger), nullable=False),
    Column("rpe", SmallInteger),
    Column("notes", Text),
    Column("version", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("user_id", "id"),
    CheckConstraint("status IN ('planned', 'in_progress', 'completed', 'failed')", name="status"),
    CheckConstraint(
        "cardinality(sets) <= 20 AND coalesce(array_ndims(sets), 1) = 1"
        " AND 1 <= ALL (sets) AND 1000 >= ALL (sets)",
        name="sets",
    ),
    CheckConstraint("rpe BETWEEN 1 AND 10", name="rpe"),
    CheckConstraint("version >= 1", name="version"),
    # The range of Python's datetime, in any time zone.
    CheckConstraint(
        "session_date >= '0001-01-01Z' AND session_date < '9999-01-01Z'", name="session_date"
    ),
    Index(
        "sessions_one_in_progress_idx",
        "user_id",
        unique=True,
        postgresql_where=text("status = 'in_progress'"),
    ),
    Index("sessions_newest_first_idx", "user_id", text("session_date DESC"), text("id DESC")),
)

events = Table(
    "events",
    metadata,
    Column("user_id", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("session_id", Uuid, nullable=False),
    Column("session_version", Integer, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("event_data", JSONB, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("request_id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("command_fingerprint", LargeBinary),
    Column("session_snapshot", JSONB),
    Column("traceparent", Text),
    PrimaryKeyConstraint("user_id", "id"),
    ForeignKeyConstraint(
        ["user_id", "session_id"], ["sessions.user_id", "sessions.id"], ondelete="CASCADE"
    ),
    CheckConstraint("session_version >= 1", name="session_version"),
    CheckConstraint(
        "num_nulls(idempotency_key, command_fingerprint, session_snapshot) IN (0, 3)",
        name="idempotency",
    ),
    Index("events_history_idx", "user_id", "session_id", "session_version", unique=True),
    Index(
        "events_idempotency_key_idx",
        "user_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

outbox = Table(
    "outbox",
    metadata,
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    PrimaryKeyConstraint("position"),
)

parked_events = Table(
    "parked_events",
    metadata,
    Column("position", BigInteger, autoincrement=False, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("session_id", Uuid),
    Column("reason", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("position"),
    Index("parked_events_session_idx", "user_id", "session_id"),
)
