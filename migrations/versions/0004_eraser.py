# SPDX-License-Identifier: MIT
"""The role that erases users and prunes old rows, and the record of how far events were pruned.

It sees ids and times, and nothing that a user wrote.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

AS_ERASER = "USING (current_user = 'session_eraser') WITH CHECK (current_user = 'session_eraser')"
TABLES = ("sessions", "events", "outbox", "parked_events", "prunings")

UPGRADE = (
    "SET LOCAL lock_timeout = '1s'",
    """
    DO $$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'session_eraser') THEN
            BEGIN
                CREATE ROLE session_eraser NOLOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- a migration of another database of this server created it first
            END;
        END IF;
    END $$
    """,
    """
    CREATE TABLE prunings (
        events_before timestamptz NOT NULL,
        begun_at timestamptz NOT NULL,
        CONSTRAINT prunings_pkey PRIMARY KEY (events_before)
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
            EXECUTE 'REVOKE ALL ON prunings FROM ' || reader;
        END LOOP;
    END $$
    """,
    "GRANT SELECT (user_id, id), DELETE ON sessions TO session_eraser",
    """
    GRANT SELECT (user_id, id, session_id, occurred_at, idempotency_key), DELETE,
        UPDATE (idempotency_key, command_fingerprint, session_snapshot)
        ON events TO session_eraser
    """,
    "GRANT SELECT (user_id, event_id), DELETE ON outbox TO session_eraser",
    "GRANT SELECT (user_id, event_id), DELETE ON parked_events TO session_eraser",
    "GRANT SELECT, INSERT ON prunings TO session_eraser",
    "GRANT SELECT (events_before) ON prunings TO session_relay",
    "ALTER TABLE prunings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    *(f"CREATE POLICY eraser_erases ON {table} TO session_eraser {AS_ERASER}" for table in TABLES),
    """
    CREATE POLICY relay_reads_prunings ON prunings FOR SELECT TO session_relay
        USING (current_user = 'session_relay')
    """,
)

DOWNGRADE = (
    "SET LOCAL lock_timeout = '1s'",
    "DROP TABLE prunings",
    *(f"DROP POLICY eraser_erases ON {table}" for table in TABLES if table != "prunings"),
    "REVOKE ALL ON sessions, events, outbox, parked_events FROM session_eraser",
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
