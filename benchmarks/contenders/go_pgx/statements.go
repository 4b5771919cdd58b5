// SPDX-License-Identifier: MIT

package main

// pgx prepares each statement once on each connection.
const (
	beginTransaction = "BEGIN"
	commit           = "COMMIT"
	rollback         = "ROLLBACK"

	becomeService = `SELECT set_config('role', 'session_service', true),
		set_config('service.acting_users', $1, true)`

	columns = `SELECT id, status, session_date, started_at, ended_at, sets, rpe, notes, version,
		created_at, updated_at FROM sessions WHERE user_id = $1`

	find   = columns + " AND id = $2"
	lock   = find + " FOR NO KEY UPDATE"
	newest = " ORDER BY session_date DESC, id DESC LIMIT $2"

	list      = columns + newest
	listAfter = columns + " AND (session_date, id) < ($3, $4)" + newest

	active = "SELECT id FROM sessions WHERE user_id = $1 AND status = 'in_progress'"

	remembered = `SELECT command_fingerprint, session_snapshot FROM events
		WHERE user_id = $1 AND idempotency_key = $2`

	record = `, recorded AS (
			INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
				occurred_at, request_id, idempotency_key, command_fingerprint, session_snapshot)
			SELECT user_id, $3, id, version, $4, $5, updated_at, $6, $7, $8, $9 FROM written
			RETURNING user_id, id
		), queued AS (
			INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM recorded
		)
		SELECT version FROM written`

	insert = `WITH written AS (
			INSERT INTO sessions (user_id, id, status, session_date, sets, notes, version,
				created_at, updated_at)
			VALUES ($1, $2, 'planned', $10, $11, $12, 1, $13, $13)
			RETURNING user_id, id, version, updated_at
		)` + record

	change = `WITH written AS (
			UPDATE sessions SET status = $10, version = version + 1, updated_at = $11,
				started_at = $13, ended_at = $14, session_date = $15, sets = $16, rpe = $17,
				notes = $18
			WHERE user_id = $1 AND id = $2 AND version = $12
			RETURNING user_id, id, version, updated_at
		)` + record
)
