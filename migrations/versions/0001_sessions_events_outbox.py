"""Sessions, events and outbox, with row-level security.

Roles belong to the whole cluster, where another database may use them: made where they are
missing, never dropped. What Supabase brings (`auth`, its functions, tables and roles) is left
as it is; on a plain PostgreSQL the small part of it that the policies need is made.
"""

from alembic import op

revision = "0001"
down_revision = None

ROLES = (
    """
    DO $$
    DECLARE
        missing text;
    BEGIN
        FOR missing IN
            SELECT name FROM unnest(ARRAY['session_service', 'authenticated']) AS name
            WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
        LOOP
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- a migration of another database of the cluster was first
            END;
        END LOOP;
        -- Whoever made the role can also serve. A superuser needs no grant; and where somebody
        -- else made it, only they can grant it.
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            BEGIN
                GRANT session_service TO CURRENT_USER;
            EXCEPTION WHEN insufficient_privilege THEN
                NULL;
            END;
        END IF;
    END $$
    """,
)

AUTH = (
    """
    DO $$
    BEGIN
        IF to_regnamespace('auth') IS NULL THEN
            CREATE SCHEMA auth;
            COMMENT ON SCHEMA auth IS 'made by training-sessions';
            GRANT USAGE ON SCHEMA auth TO authenticated;
        END IF;
        IF to_regprocedure('auth.uid()') IS NULL THEN
            CREATE FUNCTION auth.uid() RETURNS uuid
                LANGUAGE sql STABLE PARALLEL SAFE
                SET search_path = ''
                AS $f$
                    SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb
                        ->> 'sub')::uuid
                $f$;
            COMMENT ON FUNCTION auth.uid() IS 'made by training-sessions';
        END IF;
    END $$
    """,
)

ACTING_USERS = (
    """
    CREATE FUNCTION service_acting_users() RETURNS uuid[]
        LANGUAGE sql STABLE PARALLEL SAFE
        SET search_path = ''
        AS $f$
            SELECT coalesce(
                string_to_array(
                    nullif(current_setting('service.acting_users', true), ''), ','
                )::uuid[],
                '{}'
            )
        $f$
    """,
)

SESSIONS = (
    """
    CREATE TABLE sessions (
        user_id uuid NOT NULL,
        id uuid NOT NULL,
        status text NOT NULL,
        session_date timestamptz NOT NULL,
        sets smallint[] NOT NULL,
        rpe smallint,
        notes text,
        version integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT sessions_pkey PRIMARY KEY (user_id, id),
        CONSTRAINT sessions_status_check
            CHECK (status IN ('planned', 'in_progress', 'completed', 'failed')),
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
    """
    CREATE INDEX sessions_newest_first_idx ON sessions (user_id, session_date DESC, id DESC)
    """,
)

EVENTS = (
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
        CONSTRAINT events_pkey PRIMARY KEY (user_id, id),
        CONSTRAINT events_user_id_session_id_fkey FOREIGN KEY (user_id, session_id)
            REFERENCES sessions (user_id, id) ON DELETE CASCADE,
        CONSTRAINT events_session_version_check CHECK (session_version >= 1),
        CONSTRAINT events_idempotency_check CHECK (
            num_nulls(idempotency_key, command_fingerprint, session_snapshot) IN (0, 3)
        )
    )
    """,
    """
    CREATE UNIQUE INDEX events_history_idx ON events (user_id, session_id, session_version)
    """,
    """
    CREATE UNIQUE INDEX events_idempotency_key_idx ON events (user_id, idempotency_key)
        WHERE idempotency_key IS NOT NULL
    """,
)

OUTBOX = (
    """
    CREATE TABLE outbox (
        position bigint GENERATED ALWAYS AS IDENTITY,
        user_id uuid NOT NULL,
        event_id uuid NOT NULL,
        CONSTRAINT outbox_pkey PRIMARY KEY (position)
    )
    """,
)

USERS = (
    """
    DO $$
    BEGIN
        IF to_regclass('auth.users') IS NOT NULL THEN
            ALTER TABLE sessions ADD CONSTRAINT sessions_user_id_fkey
                FOREIGN KEY (user_id) REFERENCES auth.users (id) ON DELETE CASCADE;
        END IF;
    END $$
    """,
)

# Supabase grants everything on new tables to its API roles, TRUNCATE included, which no policy
# can refuse; and alembic's own table lies in the same exposed schema.
PRIVILEGES = (
    """
    DO $$
    DECLARE
        api_role text;
    BEGIN
        FOR api_role IN
            SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role')
        LOOP
            EXECUTE format(
                'REVOKE ALL ON sessions, events, outbox, alembic_version FROM %I', api_role
            );
            EXECUTE format('REVOKE ALL ON SEQUENCE outbox_position_seq FROM %I', api_role);
            EXECUTE format('REVOKE ALL ON FUNCTION service_acting_users() FROM %I', api_role);
            IF api_role <> 'anon' THEN
                EXECUTE format('GRANT SELECT ON sessions, events TO %I', api_role);
            END IF;
        END LOOP;
    END $$
    """,
    "GRANT SELECT, INSERT ON sessions, events TO session_service",
    """
    GRANT UPDATE (status, session_date, sets, rpe, notes, version, updated_at)
        ON sessions TO session_service
    """,
    "GRANT INSERT ON outbox TO session_service",
    "GRANT SELECT ON alembic_version TO session_service",
    "REVOKE ALL ON FUNCTION service_acting_users() FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION service_acting_users() TO session_service",
)

POLICIES = (
    "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "ALTER TABLE outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "ALTER TABLE alembic_version ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY service_acts_for_users ON sessions TO session_service
        USING (user_id = ANY ((SELECT service_acting_users())::uuid[]))
        WITH CHECK (user_id = ANY ((SELECT service_acting_users())::uuid[]))
    """,
    """
    CREATE POLICY service_acts_for_users ON events TO session_service
        USING (user_id = ANY ((SELECT service_acting_users())::uuid[]))
        WITH CHECK (user_id = ANY ((SELECT service_acting_users())::uuid[]))
    """,
    """
    CREATE POLICY service_acts_for_users ON outbox FOR INSERT TO session_service
        WITH CHECK (user_id = ANY ((SELECT service_acting_users())::uuid[]))
    """,
    """
    CREATE POLICY users_read_their_own ON sessions FOR SELECT TO authenticated
        USING ((SELECT auth.uid()) = user_id)
    """,
    """
    CREATE POLICY users_read_their_own ON events FOR SELECT TO authenticated
        USING ((SELECT auth.uid()) = user_id)
    """,
    """
    CREATE POLICY service_reads_revision ON alembic_version FOR SELECT TO session_service
        USING (true)
    """,
)

DROP = (
    "DROP TABLE outbox, events, sessions",
    "DROP FUNCTION service_acting_users()",
    "DROP POLICY service_reads_revision ON alembic_version",
    "ALTER TABLE alembic_version DISABLE ROW LEVEL SECURITY",
    "REVOKE ALL ON alembic_version FROM session_service",
)

DROP_AUTH = (
    """
    DO $$
    DECLARE
        ours CONSTANT text := 'made by training-sessions';
    BEGIN
        IF obj_description(to_regprocedure('auth.uid()'), 'pg_proc') = ours THEN
            DROP FUNCTION auth.uid();
        END IF;
        IF obj_description(to_regnamespace('auth'), 'pg_namespace') = ours THEN
            DROP SCHEMA auth;
        END IF;
    END $$
    """,
)


def upgrade() -> None:
    _execute(ROLES, AUTH, ACTING_USERS, SESSIONS, EVENTS, OUTBOX, USERS, PRIVILEGES, POLICIES)


def downgrade() -> None:
    _execute(DROP, DROP_AUTH)


def _execute(*scripts: tuple[str, ...]) -> None:
    """One statement at a time, since the driver prepares each."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for script in scripts:
        for statement in script:
            op.execute(statement)
