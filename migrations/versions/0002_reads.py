"""Reads: functions that become the service before they look, so that one statement is enough.

They run with the rights of whoever calls them, who has to be a member of the service's role. The
role and the acting user last until the end of the transaction: without BEGIN, of the statement.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

FUNCTIONS = (
    """
    CREATE FUNCTION service_session(acting_user uuid, wanted_id uuid) RETURNS SETOF sessions
        LANGUAGE plpgsql SET search_path FROM CURRENT
        AS $f$ BEGIN
            PERFORM set_config('role', 'session_service', true),
                set_config('service.acting_users', acting_user::text, true);
            RETURN QUERY SELECT sessions.* FROM sessions
                WHERE sessions.user_id = acting_user AND sessions.id = wanted_id;
        END $f$
    """,
    # One bound above and one below: of two bounds on the same side, an index scan may begin at
    # the wrong one. The policy and the filter ask for the same, but the planner expects next to
    # nothing to pass both, and would sort all the rows of whoever has many.
    """
    CREATE FUNCTION service_sessions(
        acting_user uuid, statuses text[], since timestamptz,
        below_date timestamptz, below_id uuid, most integer
    ) RETURNS SETOF sessions
        LANGUAGE plpgsql SET search_path FROM CURRENT
        SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off
        AS $f$ BEGIN
            PERFORM set_config('role', 'session_service', true),
                set_config('service.acting_users', acting_user::text, true);
            RETURN QUERY SELECT sessions.* FROM sessions
                WHERE sessions.user_id = acting_user
                    AND (sessions.session_date, sessions.id) < (below_date, below_id)
                    AND sessions.session_date >= since
                    AND sessions.status = ANY (statuses)
                ORDER BY sessions.session_date DESC, sessions.id DESC LIMIT most;
        END $f$
    """,
    # A session without events is one row of nulls, and no session is none.
    """
    CREATE FUNCTION service_history(
        acting_user uuid, wanted_id uuid, after_version integer, most integer
    ) RETURNS TABLE (
        id uuid, event_type text, session_version integer, occurred_at timestamptz,
        event_data jsonb
    )
        LANGUAGE plpgsql SET search_path FROM CURRENT
        AS $f$ BEGIN
            PERFORM set_config('role', 'session_service', true),
                set_config('service.acting_users', acting_user::text, true);
            RETURN QUERY
                SELECT happened.* FROM sessions LEFT JOIN LATERAL (
                    SELECT events.id, events.event_type, events.session_version,
                        events.occurred_at, events.event_data
                    FROM events
                    WHERE events.user_id = acting_user AND events.session_id = wanted_id
                        AND events.session_version > after_version
                    ORDER BY events.session_version LIMIT most
                ) AS happened ON true
                WHERE sessions.user_id = acting_user AND sessions.id = wanted_id
                ORDER BY happened.session_version;
        END $f$
    """,
)

SIGNATURES = (
    "service_session(uuid, uuid)",
    "service_sessions(uuid, text[], timestamptz, timestamptz, uuid, integer)",
    "service_history(uuid, uuid, integer, integer)",
)
ALL = ", ".join(SIGNATURES)

# Supabase grants everything on new functions to its API roles.
API_ROLES = ("anon", "authenticated", "service_role")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in FUNCTIONS:
        op.execute(statement)
    op.execute(f"REVOKE ALL ON FUNCTION {ALL} FROM PUBLIC")
    present = op.get_bind().exec_driver_sql("SELECT rolname FROM pg_roles").scalars()
    for role in {*present} & {*API_ROLES}:
        op.execute(f"REVOKE ALL ON FUNCTION {ALL} FROM {role}")
    op.execute(f"GRANT EXECUTE ON FUNCTION {ALL} TO session_service")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DROP FUNCTION {ALL}")
