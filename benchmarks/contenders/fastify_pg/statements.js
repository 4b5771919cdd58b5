// SPDX-License-Identifier: MIT
// pg prepares a statement with a name once on each connection.

const COLUMNS = `SELECT id, status, session_date, started_at, ended_at, sets, rpe, notes, version,
  created_at, updated_at FROM sessions WHERE user_id = $1`
const NEWEST = 'ORDER BY session_date DESC, id DESC LIMIT $2'

const RECORD = `recorded AS (
    INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
      occurred_at, request_id, idempotency_key, command_fingerprint, session_snapshot)
    SELECT user_id, $3, id, version, $4, $5, updated_at, $6, $7, $8, $9 FROM written
    RETURNING user_id, id
  ), queued AS (
    INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM recorded
  )
  SELECT version FROM written`

export const BECOME_SERVICE = {
  name: 'become_service',
  text: `SELECT set_config('role', 'session_service', true),
    set_config('service.acting_users', $1, true)`
}
export const FIND = { name: 'find', text: `${COLUMNS} AND id = $2` }
export const LOCK = { name: 'lock', text: `${COLUMNS} AND id = $2 FOR NO KEY UPDATE` }
export const LIST = { name: 'list', text: `${COLUMNS} ${NEWEST}` }
export const LIST_AFTER = {
  name: 'list_after',
  text: `${COLUMNS} AND (session_date, id) < ($3, $4) ${NEWEST}`
}
export const ACTIVE = {
  name: 'active',
  text: "SELECT id FROM sessions WHERE user_id = $1 AND status = 'in_progress'"
}
export const REMEMBERED = {
  name: 'remembered',
  text: `SELECT command_fingerprint, session_snapshot FROM events
    WHERE user_id = $1 AND idempotency_key = $2`
}
export const INSERT = {
  name: 'insert',
  text: `WITH written AS (
    INSERT INTO sessions (user_id, id, status, session_date, sets, notes, version, created_at,
      updated_at)
    VALUES ($1, $2, 'planned', $10, $11, $12, 1, $13, $13)
    RETURNING user_id, id, version, updated_at
  ), ${RECORD}`
}
export const CHANGE = {
  name: 'change',
  text: `WITH written AS (
    UPDATE sessions SET status = $10, version = version + 1, updated_at = $11, started_at = $13,
      ended_at = $14, session_date = $15, sets = $16, rpe = $17, notes = $18
    WHERE user_id = $1 AND id = $2 AND version = $12
    RETURNING user_id, id, version, updated_at
  ), ${RECORD}`
}
