"""The service's role, its policies and grants, and those of clients that read the tables directly.

Roles belong to the whole server, and other databases may use them: a missing role is created, and
none is ever dropped. The `auth` schema and roles of a Supabase project stay as they are; a plain
PostgreSQL gets the part of them that the policies need.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

MADE_HERE = "made by training-sessions"
ACTING = """
    USING (user_id = ANY ((SELECT service_acting_users())::uuid[]))
    WITH CHECK (user_id = ANY ((SELECT service_acting_users())::uuid[]))
"""

UPGRADE = (
    "SET LOCAL lock_timeout = '5s'",
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
                NULL;  -- a migration of another database of this server created it first
            END;
        END LOOP;
        -- The login that migrates may also serve. A superuser needs no grant, and a login that did
        -- not create the role may be unable to grant it.
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            BEGIN
                GRANT session_service TO CURRENT_USER;
            EXCEPTION WHEN insufficient_privilege THEN
                NULL;
            END;
        END IF;
    END $$
    """,
    f"""
    DO $$
    BEGIN
        IF to_regnamespace('auth') IS NULL THEN
            CREATE SCHEMA auth;
            COMMENT ON SCHEMA auth IS '{MADE_HERE}';
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
            COMMENT ON FUNCTION auth.uid() IS '{MADE_HERE}';
        END IF;
    END $$
    """,
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
    # Supabase grants its API roles every privilege on new tables, TRUNCATE included, which no
    # policy can refuse. The table of Alembic lies in the same schema.
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
    GRANT UPDATE (status, session_date, started_at, ended_at, sets, rpe, notes, version, updated_at)
        ON sessions TO session_service
    """,
    "GRANT INSERT ON outbox TO session_service",
    "GRANT SELECT ON alembic_version TO session_service",
    "REVOKE ALL ON FUNCTION service_acting_users() FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION service_acting_users() TO session_service",
    "ALTER TABLE alembic_version ENABLE ROW LEVEL SECURITY",
    f"CREATE POLICY service_acts_for_users ON sessions TO session_service {ACTING}",
    f"CREATE POLICY service_acts_for_users ON events TO session_service {ACTING}",
    """
    CREATE POLICY service_acts_for_users ON outbox FOR INSERT TO session_service
        WITH CHECK (user_id = ANY ((SELECT service_acting_users())::uuid[]))
    """,
    """
    CREATE POLICY service_reads_revision ON alembic_version FOR SELECT TO session_service
        USING (true)
    """,
    """
    CREATE POLICY users_read_their_own ON sessions FOR SELECT TO authenticated
        USING ((SELECT auth.uid()) = user_id)
    """,
    """
    CREATE POLICY users_read_their_own ON events FOR SELECT TO authenticated
        USING ((SELECT auth.uid()) = user_id)
    """,
)

DOWNGRADE = (
    "SET LOCAL lock_timeout = '5s'",
    "DROP POLICY users_read_their_own ON events",
    "DROP POLICY users_read_their_own ON sessions",
    "DROP POLICY service_reads_revision ON alembic_version",
    "DROP POLICY service_acts_for_users ON outbox",
    "DROP POLICY service_acts_for_users ON events",
    "DROP POLICY service_acts_for_users ON sessions",
    "ALTER TABLE alembic_version DISABLE ROW LEVEL SECURITY",
    "REVOKE ALL ON sessions, events, outbox, alembic_version FROM session_service",
    "DROP FUNCTION service_acting_users()",
    f"""
    DO $$
    BEGIN
        IF obj_description(to_regprocedure('auth.uid()'), 'pg_proc') = '{MADE_HERE}' THEN
            DROP FUNCTION auth.uid();
        END IF;
        IF obj_description(to_regnamespace('auth'), 'pg_namespace') = '{MADE_HERE}' THEN
            DROP SCHEMA auth;
        END IF;
    END $$
    """,
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
