# SPDX-License-Identifier: MIT
"""The SQL statements. Each write includes session, event and outbox row."""

BECOME_SERVICE = """
    SELECT set_config('role', 'session_service', true),
        set_config('service.acting_users', $1, true)
"""

FIND = """
    SELECT id, status, session_date, started_at, ended_at, sets, rpe, notes, version,
        created_at, updated_at
    FROM sessions WHERE user_id = $1 AND id = $2
"""

LOCK = f"{FIND} FOR NO KEY UPDATE"

_LIST = """
    SELECT id, status, session_date, started_at, ended_at, sets, rpe, notes, version,
        created_at, updated_at
    FROM sessions WHERE user_id = $1 {after}
    ORDER BY session_date DESC, id DESC LIMIT $2
"""

LIST = _LIST.format(after="")

LIST_AFTER = _LIST.format(after="AND (session_date, id) < ($3, $4)")

ACTIVE = "SELECT id FROM sessions WHERE user_id = $1 AND status = 'in_progress'"

REMEMBERED = """
    SELECT command_fingerprint, session_snapshot FROM events
    WHERE user_id = $1 AND idempotency_key = $2
"""

_RECORD = """
    INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
        occurred_at, request_id, idempotency_key, command_fingerprint, session_snapshot)
    SELECT user_id, $3, id, version, $4, $5, updated_at, $6, $7, $8, $9 FROM written
    RETURNING user_id, id
"""

_QUEUE = "INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM recorded"

PLAN = f"""
    WITH written AS (
        INSERT INTO sessions (user_id, id, status, session_date, sets, notes, version,
            created_at, updated_at)
        VALUES ($1, $2, 'planned', $10, $11, $12, 1, $13, $13)
        RETURNING user_id, id, version, updated_at
    ), recorded AS ({_RECORD}), queued AS ({_QUEUE})
    SELECT version FROM written
"""  # noqa: S608  of constants

CHANGE = f"""
    WITH written AS (
        UPDATE sessions SET status = $10, version = version + 1, updated_at = $11, started_at = $13,
            ended_at = $14, session_date = $15, sets = $16, rpe = $17, notes = $18
        WHERE user_id = $1 AND id = $2 AND version = $12
        RETURNING user_id, id, version, updated_at
    ), recorded AS ({_RECORD}), queued AS ({_QUEUE})
    SELECT version FROM written
"""  # noqa: S608  of constants
