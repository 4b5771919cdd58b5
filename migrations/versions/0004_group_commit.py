"""Group commit in two statements: one function that looks, and one that writes.

Both become the service before they do, as reads do. What they take are types of their own, not
rows of the tables: a column more must not be in the way of the replicas that do not know it yet.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

TYPES = (
    """
    CREATE TYPE service_asked AS (
        user_id uuid, session_id uuid, idempotency_key text, claims boolean, lost_event uuid
    )
    """,
    """
    CREATE TYPE service_change AS (
        user_id uuid, id uuid, read_version integer, status text, session_date timestamptz,
        sets smallint[], rpe smallint, notes text, version integer, created_at timestamptz,
        updated_at timestamptz
    )
    """,
    """
    CREATE TYPE service_event AS (
        change integer, user_id uuid, id uuid, session_id uuid, session_version integer,
        event_type text, event_data jsonb, occurred_at timestamptz, request_id text,
        idempotency_key text, command_fingerprint bytea, session_snapshot jsonb, traceparent text
    )
    """,
    """
    CREATE TYPE service_claim AS (change integer, user_id uuid, last_event uuid)
    """,
)

# Not on a standby, which may be behind: nobody is refused for what is no longer so.
# One statement sees one moment. Each row is looked for by its key, whatever the tables hold when
# the plan is made, which is kept. The policies compare with all acting users, which invites the
# planner to read all of their rows; the limits keep it from that.
LOOK = """
    CREATE FUNCTION service_look(acting_users uuid[], asked service_asked[]) RETURNS TABLE (
        id uuid, status text, session_date timestamptz, sets smallint[], rpe smallint, notes text,
        version integer, created_at timestamptz, updated_at timestamptz,
        command_fingerprint bytea, session_snapshot jsonb, active_session uuid,
        last_event uuid, recorded_at timestamptz
    )
        LANGUAGE plpgsql SET search_path FROM CURRENT
        SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
        AS $f$ BEGIN
            IF current_setting('transaction_read_only')::boolean THEN
                RAISE read_only_sql_transaction;
            END IF;
            PERFORM set_config('role', 'session_service', true),
                set_config('service.acting_users', array_to_string(acting_users, ','), true);
            RETURN QUERY
                SELECT found.id, found.status, found.session_date, found.sets, found.rpe,
                    found.notes, found.version, found.created_at, found.updated_at,
                    memory.command_fingerprint, memory.session_snapshot,
                    CASE WHEN wanted.claims THEN (
                        SELECT sessions.id FROM sessions
                        WHERE sessions.user_id = wanted.user_id AND sessions.status = 'in_progress'
                        LIMIT 1
                    ) END,
                    CASE WHEN wanted.claims THEN (
                        SELECT events.id FROM events WHERE events.user_id = wanted.user_id
                        ORDER BY events.id DESC LIMIT 1
                    ) END,
                    CASE WHEN wanted.lost_event IS NOT NULL THEN (
                        SELECT events.occurred_at FROM events
                        WHERE events.user_id = wanted.user_id AND events.id = wanted.lost_event
                        LIMIT 1
                    ) END
                FROM unnest(asked) WITH ORDINALITY AS wanted
                LEFT JOIN LATERAL (
                    SELECT * FROM sessions
                    WHERE sessions.user_id = wanted.user_id AND sessions.id = wanted.session_id
                    LIMIT 1
                ) AS found ON true
                LEFT JOIN LATERAL (
                    SELECT events.command_fingerprint, events.session_snapshot FROM events
                    WHERE events.user_id = wanted.user_id
                        AND events.idempotency_key = wanted.idempotency_key
                    LIMIT 1
                ) AS memory ON true
                ORDER BY wanted.ordinality;
        END $f$
"""

# Each statement sees what was committed before it, so what is claimed is looked at after the claim:
# whether anything has happened to the user since. What is locked, claimed or no longer as it was
# read is left out, and not waited for. What is left is locked, so the first INSERT always meets its
# row: unlike a joined UPDATE, it looks for each by its key, whatever the planner thinks. The number
# keeps claims apart from other advisory locks; any would do.
WRITE = """
    CREATE FUNCTION service_write(
        acting_users uuid[], changes service_change[], happened service_event[],
        claims service_claim[]
    ) RETURNS integer[]
        LANGUAGE plpgsql SET search_path FROM CURRENT
        SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
        AS $f$ DECLARE
            left_out integer[] := '{}';
            updated integer;
            created integer;
        BEGIN
            PERFORM set_config('role', 'session_service', true),
                set_config('service.acting_users', array_to_string(acting_users, ','), true);
            IF cardinality(claims) > 0 THEN
                left_out := ARRAY(
                    SELECT claim.change FROM unnest(claims) AS claim
                    WHERE NOT pg_try_advisory_xact_lock(
                        1395864371, hashtext(claim.user_id::text)
                    )
                );
                left_out := left_out || ARRAY(
                    SELECT claim.change FROM unnest(claims) AS claim
                    WHERE claim.change <> ALL (left_out) AND claim.last_event IS DISTINCT FROM (
                        SELECT events.id FROM events WHERE events.user_id = claim.user_id
                        ORDER BY events.id DESC LIMIT 1
                    )
                );
            END IF;
            left_out := left_out || ARRAY(
                SELECT change.ordinality::integer FROM unnest(changes) WITH ORDINALITY AS change
                WHERE change.read_version > 0 AND change.ordinality <> ALL (left_out) AND (
                    SELECT sessions.id FROM sessions
                    WHERE sessions.user_id = change.user_id AND sessions.id = change.id
                        AND sessions.version = change.read_version
                    LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
                ) IS NULL
            );
            INSERT INTO sessions (
                    user_id, id, status, session_date, sets, rpe, notes, version, created_at,
                    updated_at
                )
                SELECT change.user_id, change.id, change.status, change.session_date, change.sets,
                    change.rpe, change.notes, change.version, change.created_at, change.updated_at
                FROM unnest(changes) WITH ORDINALITY AS change
                WHERE change.read_version > 0 AND change.ordinality <> ALL (left_out)
                ON CONFLICT (user_id, id) DO UPDATE SET status = excluded.status,
                    sets = excluded.sets, rpe = excluded.rpe, version = excluded.version,
                    updated_at = excluded.updated_at
                WHERE sessions.version < excluded.version;
            GET DIAGNOSTICS updated = ROW_COUNT;
            INSERT INTO sessions (
                    user_id, id, status, session_date, sets, rpe, notes, version, created_at,
                    updated_at
                )
                SELECT change.user_id, change.id, change.status, change.session_date, change.sets,
                    change.rpe, change.notes, change.version, change.created_at, change.updated_at
                FROM unnest(changes) WITH ORDINALITY AS change
                WHERE change.read_version = 0 AND change.ordinality <> ALL (left_out);
            GET DIAGNOSTICS created = ROW_COUNT;
            IF updated + created <> cardinality(changes) - cardinality(left_out) THEN
                RAISE serialization_failure;
            END IF;
            INSERT INTO events (
                    user_id, id, session_id, session_version, event_type, event_data, occurred_at,
                    request_id, idempotency_key, command_fingerprint, session_snapshot, traceparent
                )
                SELECT event.user_id, event.id, event.session_id, event.session_version,
                    event.event_type, event.event_data, event.occurred_at, event.request_id,
                    event.idempotency_key, event.command_fingerprint, event.session_snapshot,
                    event.traceparent
                FROM unnest(happened) AS event WHERE event.change <> ALL (left_out);
            INSERT INTO outbox (user_id, event_id)
                SELECT event.user_id, event.id
                FROM unnest(happened) WITH ORDINALITY AS event
                WHERE event.change <> ALL (left_out) ORDER BY event.ordinality;
            RETURN left_out;
        END $f$
"""

FUNCTIONS = (
    "service_look(uuid[], service_asked[])",
    "service_write(uuid[], service_change[], service_event[], service_claim[])",
)
ALL = ", ".join(FUNCTIONS)

# Supabase grants everything on new functions to its API roles.
API_ROLES = ("anon", "authenticated", "service_role")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in (*TYPES, LOOK, WRITE):
        op.execute(statement)
    op.execute(f"REVOKE ALL ON FUNCTION {ALL} FROM PUBLIC")
    present = op.get_bind().exec_driver_sql("SELECT rolname FROM pg_roles").scalars()
    for role in {*present} & {*API_ROLES}:
        op.execute(f"REVOKE ALL ON FUNCTION {ALL} FROM {role}")
    op.execute(f"GRANT EXECUTE ON FUNCTION {ALL} TO session_service")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DROP FUNCTION {ALL}")
    op.execute("DROP TYPE service_asked, service_change, service_event, service_claim")
