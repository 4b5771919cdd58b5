// SPDX-License-Identifier: MIT
// A transaction for each request.

import { uuidv7 } from 'uuidv7'
import { totalReps } from './commands.js'
import { fingerprint, notFound, Refused, requireMatch } from './contract.js'
import {
  ACTIVE, BECOME_SERVICE, CHANGE, FIND, INSERT, LIST, LIST_AFTER, LOCK, REMEMBERED
} from './statements.js'

const ONE_EVENT_PER_KEY = 'events_idempotency_key_idx'
const ONE_IN_PROGRESS = 'sessions_one_in_progress_idx'

export async function inTransaction(pool, userId, work) {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await client.query({ ...BECOME_SERVICE, values: [userId] })
    const result = await work(client)
    await client.query('COMMIT')
    client.release()
    return result
  } catch (error) {
    await client.query('ROLLBACK').then(() => client.release(), (broken) => client.release(broken))
    throw error
  }
}

// Of two at once with one key, the second finds the first's event when it tries again.
async function write(pool, caller, work) {
  const attempt = () => inTransaction(pool, caller.userId, work)
  try {
    return await attempt()
  } catch (error) {
    if (error.constraint === ONE_EVENT_PER_KEY) return attempt()
    if (error.constraint !== ONE_IN_PROGRESS) throw error
    const activeSessionId = await inTransaction(pool, caller.userId, async (client) => {
      const { rows } = await client.query({ ...ACTIVE, values: [caller.userId] })
      return rows[0]?.id ?? null
    })
    const message = 'Another session is in progress.'
    throw new Refused(409, 'ACTIVE_SESSION_EXISTS', message, { activeSessionId })
  }
}

const askedBy = (caller, ...asked) => (caller.key === null ? null : fingerprint(...asked))

async function remembered(client, { userId, key }, asked) {
  if (key === null) return null
  const { rows } = await client.query({ ...REMEMBERED, values: [userId, key] })
  if (rows.length === 0) return null
  if (!rows[0].command_fingerprint.equals(asked)) {
    throw new Refused(422, 'IDEMPOTENCY_KEY_REUSED', 'The key was used for another command.')
  }
  return { ...rows[0].session_snapshot, replayed: true }
}

const recorded = (caller, id, { type, data }, asked, answer) => [
  caller.userId, id, uuidv7(), type, data, caller.requestId, caller.key, asked,
  asked === null ? null : answer
]

export function plan(pool, caller, { sessionDate, sets, notes }) {
  const asked = askedBy(caller, 'plan', sessionDate, sets, notes)
  const now = new Date()
  const row = {
    id: uuidv7(), status: 'planned', session_date: sessionDate ? new Date(sessionDate) : now,
    started_at: null, ended_at: null, sets: sets ?? [], rpe: null, notes,
    created_at: now, updated_at: now
  }
  const answer = { session: present(row), version: 1 }
  const event = { type: 'session_planned', data: { sessionDate: row.session_date } }
  return write(pool, caller, async (client) => {
    const replay = await remembered(client, caller, asked)
    if (replay) return replay
    const values = [
      ...recorded(caller, row.id, event, asked, answer), row.session_date, row.sets, notes, now
    ]
    await client.query({ ...INSERT, values })
    return answer
  })
}

export function change(pool, caller, sessionId, command) {
  const asked = askedBy(caller, command.name, sessionId.toLowerCase(), command.asked)
  return write(pool, caller, async (client) => {
    const { rows } = await client.query({ ...LOCK, values: [caller.userId, sessionId] })
    const replay = await remembered(client, caller, asked)
    if (replay) return replay
    if (rows.length === 0) throw notFound()
    const [before] = rows
    const now = new Date()
    const changed = command.decide(before, now)
    requireMatch(caller.ifMatch, before.version)
    if (changed === null) return { session: present(before), version: before.version }
    const row = { ...before, ...changed.values, updated_at: now }
    const answer = { session: present(row), version: before.version + 1 }
    const values = [
      ...recorded(caller, row.id, changed, asked, answer), row.status, now, before.version,
      row.started_at, row.ended_at, row.session_date, row.sets, row.rpe, row.notes
    ]
    await client.query({ ...CHANGE, values })
    return answer
  })
}

export async function find(pool, userId, sessionId) {
  const { rows } = await inTransaction(pool, userId, (client) =>
    client.query({ ...FIND, values: [userId, sessionId] })
  )
  if (rows.length === 0) throw notFound()
  return { session: present(rows[0]), version: rows[0].version }
}

// One session more than `limit` if others follow.
export async function list(pool, userId, limit, after) {
  const statement = after ? LIST_AFTER : LIST
  const values = [userId, limit + 1, ...(after ?? [])]
  const { rows } = await inTransaction(pool, userId, (client) =>
    client.query({ ...statement, values })
  )
  return rows.map(present)
}

const present = (row) => ({
  id: row.id,
  status: row.status,
  sessionDate: row.session_date,
  startedAt: row.started_at,
  endedAt: row.ended_at,
  sets: row.sets,
  totalReps: totalReps(row.sets),
  rpe: row.rpe,
  notes: row.notes,
  createdAt: row.created_at,
  updatedAt: row.updated_at
})
