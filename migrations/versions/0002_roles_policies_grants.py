# SPDX-License-Identifier: MIT
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
    "SET LOCAL lock_timeout = '1s'",
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
            REVOKE ALL ON FUNCTION auth.uid() FROM PUBLIC;
            GRANT EXECUTE ON FUNCTION auth.uid() TO authenticated;
        END IF;
    END $$
    """,  # noqa: S608  of a constant
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
    # Default privileges may grant everything on new tables, TRUNCATE included, which no policy can
    # refuse; those of Supabase do. The table of Alembic lies in the same schema. No policy of a
    # partitioned table applies to a statement that names a partition.
    """
    DO $$
    DECLARE
        reader text;
        partition regclass;
    BEGIN
        FOR reader IN
            SELECT 'PUBLIC' UNION ALL SELECT quote_ident(rolname) FROM pg_roles
            WHERE rolname IN ('anon', 'authenticated', 'service_role')
        LOOP
            EXECUTE 'REVOKE ALL ON sessions, events, outbox, alembic_version FROM ' || reader;
            EXECUTE 'REVOKE ALL ON SEQUENCE outbox_position_seq FROM ' || reader;
            EXECUTE 'REVOKE ALL ON FUNCTION service_acting_users() FROM ' || reader;
            IF reader IN ('authenticated', 'service_role') THEN
                EXECUTE 'GRANT SELECT (user_id, id, status, session_date, started_at, ended_at,'
                    ' sets, rpe, notes, version, created_at, updated_at) ON sessions TO ' || reader;
                EXECUTE 'GRANT SELECT (user_id, id, session_id, session_version, event_type,'
                    ' event_data, occurred_at) ON events TO ' || reader;
            END IF;
            FOR partition IN
                SELECT relid FROM unnest(ARRAY['sessions', 'events']) AS parent,
                    pg_partition_tree(parent::regclass) WHERE level > 0
            LOOP
                EXECUTE format('REVOKE ALL ON %s FROM ', partition) || reader;
                EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
            END LOOP;
        END LOOP;
    END $$
    """,
    "GRANT SELECT, INSERT ON sessions, events TO session_service",
    """
    GRANT UPDATE (status, session_date, started_at, ended_at, sets, rpe, notes, version, updated_at)
        ON sessions TO session_service
    """,
    "GRANT INSERT (user_id, event_id) ON outbox TO session_service",
    "GRANT SELECT ON alembic_version TO session_service",
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
    "SET LOCAL lock_timeout = '1s'",
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
