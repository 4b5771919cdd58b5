# SPDX-License-Identifier: MIT
"""The relay's queue: its role, parked events, and a vacuum that keeps the outbox small.

Autovacuum runs after a fixed number of deleted rows, however few rows are left, and without pauses,
so that the outbox stays as small as its backlog.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

AS_RELAY = "USING (current_user = 'session_relay') WITH CHECK (current_user = 'session_relay')"

UPGRADE = (
    "SET LOCAL lock_timeout = '1s'",
    """
    DO $$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'session_relay') THEN
            BEGIN
                CREATE ROLE session_relay NOLOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- a migration of another database of this server created it first
            END;
        END IF;
    END $$
    """,
    """
    CREATE TABLE parked_events (
        position bigint NOT NULL,
        user_id uuid NOT NULL,
        event_id uuid NOT NULL,
        session_id uuid,
        reason text NOT NULL,
        parked_at timestamptz NOT NULL,
        CONSTRAINT parked_events_pkey PRIMARY KEY (position)
    )
    """,
    "CREATE INDEX parked_events_session_idx ON parked_events (user_id, session_id)",
    """
    ALTER TABLE outbox SET (
        autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0,
        autovacuum_vacuum_insert_threshold = 100000,
        autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 100000
    )
    """,
    # Default privileges may grant everything on new tables; those of Supabase do.
    """
    DO $$
    DECLARE
        reader text;
    BEGIN
        FOR reader IN
            SELECT 'PUBLIC' UNION ALL SELECT quote_ident(rolname) FROM pg_roles
            WHERE rolname IN ('anon', 'authenticated', 'service_role')
        LOOP
            EXECUTE 'REVOKE ALL ON parked_events FROM ' || reader;
        END LOOP;
    END $$
    """,
    """
    GRANT SELECT (user_id, id, session_id, session_version, event_type, event_data, occurred_at,
        request_id, traceparent) ON events TO session_relay
    """,
    "GRANT SELECT, INSERT, DELETE ON outbox, parked_events TO session_relay",
    "ALTER TABLE parked_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    # A policy for a role also holds for its members. A login sees nothing until it has become the
    # role.
    """
    CREATE POLICY relay_reads_everything ON events FOR SELECT TO session_relay
        USING (current_user = 'session_relay')
    """,
    f"CREATE POLICY relay_empties_the_queue ON outbox TO session_relay {AS_RELAY}",
    f"CREATE POLICY relay_parks ON parked_events TO session_relay {AS_RELAY}",
)

DOWNGRADE = (
    "SET LOCAL lock_timeout = '1s'",
    "DROP POLICY relay_empties_the_queue ON outbox",
    "DROP POLICY relay_reads_everything ON events",
    "REVOKE ALL ON events, outbox FROM session_relay",
    "DROP TABLE parked_events",
    """
    ALTER TABLE outbox RESET (
        autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay,
        autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold,
        autovacuum_analyze_scale_factor, autovacuum_analyze_threshold
    )
    """,
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
