"""What the relay needs: a role, a place for events that the broker refuses, the trace of a request.

The outbox lives by inserts and deletes: it is vacuumed when so many rows have gone, however few
are left, and without pauses, so that it stays as small as its backlog.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

ROLE = (
    """
    DO $$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'session_relay') THEN
            BEGIN
                CREATE ROLE session_relay NOLOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- a migration of another database of the cluster was first
            END;
        END IF;
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            BEGIN
                GRANT session_relay TO CURRENT_USER;
            EXCEPTION WHEN insufficient_privilege THEN
                NULL;  -- somebody else made it, and only they can grant it
            END;
        END IF;
    END $$
    """,
)

EVENTS = ("ALTER TABLE events ADD COLUMN traceparent text",)

PARKED_EVENTS = (
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
)

AUTOVACUUM = (
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
)

# Supabase grants everything on new tables to its API roles.
PRIVILEGES = (
    """
    DO $$
    DECLARE
        api_role text;
    BEGIN
        FOR api_role IN
            SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role')
        LOOP
            EXECUTE format('REVOKE ALL ON parked_events FROM %I', api_role);
        END LOOP;
    END $$
    """,
    "GRANT SELECT ON events TO session_relay",
    "GRANT SELECT, INSERT, DELETE ON outbox, parked_events TO session_relay",
)

# A policy for a role is also one for its members: for the login of the API, which has to see
# nothing. So whoever is meant has to have become the role.
POLICIES = (
    "ALTER TABLE parked_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    """
    CREATE POLICY relay_reads_everything ON events FOR SELECT TO session_relay
        USING (current_user = 'session_relay')
    """,
    """
    CREATE POLICY relay_empties_the_queue ON outbox TO session_relay
        USING (current_user = 'session_relay') WITH CHECK (current_user = 'session_relay')
    """,
    """
    CREATE POLICY relay_parks ON parked_events TO session_relay
        USING (current_user = 'session_relay') WITH CHECK (current_user = 'session_relay')
    """,
)

DROP = (
    "DROP POLICY relay_empties_the_queue ON outbox",
    "DROP POLICY relay_reads_everything ON events",
    "REVOKE ALL ON events, outbox FROM session_relay",
    "DROP TABLE parked_events",
    "ALTER TABLE events DROP COLUMN traceparent",
    """
    ALTER TABLE outbox RESET (
        autovacuum_vacuum_scale_factor,
        autovacuum_vacuum_threshold,
        autovacuum_vacuum_cost_delay,
        autovacuum_vacuum_insert_scale_factor,
        autovacuum_vacuum_insert_threshold,
        autovacuum_analyze_scale_factor,
        autovacuum_analyze_threshold
    )
    """,
)


def upgrade() -> None:
    _execute(ROLE, EVENTS, PARKED_EVENTS, AUTOVACUUM, PRIVILEGES, POLICIES)


def downgrade() -> None:
    _execute(DROP)


def _execute(*scripts: tuple[str, ...]) -> None:
    """One statement at a time, since the driver prepares each."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for script in scripts:
        for statement in script:
            op.execute(statement)
