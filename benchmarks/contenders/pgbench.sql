-- One command as one transaction, as the hand-written contenders do it, without HTTP.
-- Each transaction fails the session that its number stands for: see fresh.py.
\set i :i + 1
\set n :first + :i * :clients + :client_id

BEGIN;

SELECT set_config('role', 'session_service', true),
    set_config('service.acting_users', md5('user ' || :n), true) AS user_id,
    md5('session ' || :n) AS session_id \gset

SELECT status, session_date, started_at, sets, rpe, notes, version AS read_version, created_at
FROM sessions WHERE user_id = :user_id AND id = :session_id
FOR NO KEY UPDATE \gset

WITH updated AS (
    UPDATE sessions SET status = 'failed', version = version + 1, ended_at = now(), updated_at = now()
    WHERE user_id = :user_id AND id = :session_id AND version = :read_version
        AND status = 'in_progress'
    RETURNING user_id, id, version
), inserted AS (
    INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
        occurred_at, request_id)
    SELECT user_id, uuidv7(), id, version, 'session_failed', '{"reason": "shoulder pain"}',
        now(), 'request ' || :n
    FROM updated
    RETURNING user_id, id
), queued AS (
    INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM inserted
)
SELECT version FROM updated;

COMMIT;
