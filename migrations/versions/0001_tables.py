# SPDX-License-Identifier: MIT
"""Tables and indexes. Row-level security is on from the start: without a policy, no row is visible.

On Supabase, sessions belong to the users of its `auth` schema and are deleted with them.
"""

from alembic import op

revision = "0001"
down_revision = None

UPGRADE = (
    "SET LOCAL lock_timeout = '1s'",
    """
    CREATE TABLE sessions (
        user_id uuid NOT NULL,
        id uuid NOT NULL,
        status text NOT NULL,
        session_date timestamptz NOT NULL,
        started_at timestamptz,
        ended_at timestamptz,
        sets smallint[] NOT NULL,
        rpe smallint,
        notes text,
        version integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT sessions_pkey PRIMARY KEY (user_id, id),
        CONSTRAINT sessions_status_check
            CHECK (status IN ('planned', 'in_progress', 'completed', 'failed')),
        CONSTRAINT sessions_started_at_check
            CHECK ((status = 'planned') = (started_at IS NULL)),
        CONSTRAINT sessions_ended_at_check
            CHECK ((status IN ('completed', 'failed')) = (ended_at IS NOT NULL)),
        CONSTRAINT sessions_sets_check CHECK (
            cardinality(sets) <= 20 AND coalesce(array_ndims(sets), 1) = 1
            AND 1 <= ALL (sets) AND 1000 >= ALL (sets)
        ),
        CONSTRAINT sessions_rpe_check CHECK (rpe BETWEEN 1 AND 10),
        CONSTRAINT sessions_version_check CHECK (version >= 1),
        CONSTRAINT sessions_session_date_check
            CHECK (session_date >= '0001-01-01Z' AND session_date < '9999-01-01Z')
    )
    """,
    """
    CREATE UNIQUE INDEX sessions_one_in_progress_idx ON sessions (user_id)
        WHERE status = 'in_progress'
    """,
    "CREATE INDEX sessions_newest_first_idx ON sessions (user_id, session_date DESC, id DESC)",
    """
    DO $$
    BEGIN
        IF to_regclass('auth.users') IS NOT NULL THEN
            ALTER TABLE sessions ADD CONSTRAINT sessions_user_id_fkey
                FOREIGN KEY (user_id) REFERENCES auth.users (id) ON DELETE CASCADE;
        END IF;
    END $$
    """,
    """
    CREATE TABLE events (
        user_id uuid NOT NULL,
        id uuid NOT NULL,
        session_id uuid NOT NULL,
        session_version integer NOT NULL,
        event_type text NOT NULL,
        event_data jsonb NOT NULL,
        occurred_at timestamptz NOT NULL,
        request_id text NOT NULL,
        idempotency_key text,
        command_fingerprint bytea,
        session_snapshot jsonb,
        traceparent text,
        CONSTRAINT events_pkey PRIMARY KEY (user_id, id),
        CONSTRAINT events_user_id_session_id_fkey FOREIGN KEY (user_id, session_id)
            REFERENCES sessions (user_id, id) ON DELETE CASCADE,
        CONSTRAINT events_session_version_check CHECK (session_version >= 1),
        CONSTRAINT events_idempotency_check CHECK (
            num_nulls(idempotency_key, command_fingerprint, session_snapshot) IN (0, 3)
        )
    )
    """,
    "CREATE UNIQUE INDEX events_history_idx ON events (user_id, session_id, session_version)",
    """
    CREATE UNIQUE INDEX events_idempotency_key_idx ON events (user_id, idempotency_key)
        WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE TABLE outbox (
        position bigint GENERATED ALWAYS AS IDENTITY,
        user_id uuid NOT NULL,
        event_id uuid NOT NULL,
        CONSTRAINT outbox_pkey PRIMARY KEY (position)
    )
    """,
    "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "ALTER TABLE outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
)

DOWNGRADE = ("SET LOCAL lock_timeout = '1s'", "DROP TABLE outbox, events, sessions")


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
