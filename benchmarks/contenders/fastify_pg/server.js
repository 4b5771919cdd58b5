// Fastify and pg, a transaction per request.

import cluster from 'node:cluster'
import { createHash, createPublicKey, randomUUID } from 'node:crypto'
import { createVerifier } from 'fast-jwt'
import Fastify from 'fastify'
import pg from 'pg'
import { uuidv7 } from 'uuidv7'

const { DATABASE_URL, JWKS_URL, JWT_SECRET, POOL_SIZE, PORT, WORKERS } = process.env

const REASON_MAX_LENGTH = 500
const BODY_MAX_BYTES = 16 * 1024
const FORBIDDEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]/u
const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/
const KEY = /^[\x21-\x7e]{1,255}$/
const ENTITY_TAG = /(?:W\/)?"[^"]*"/g
const ONE_EVENT_PER_KEY = 'events_idempotency_key_idx'
const STAGES = { planned: 0, in_progress: 1, completed: 2, failed: 2 }
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'

const BECOME_SERVICE = {
  name: 'become_service',
  text: `SELECT set_config('role', 'session_service', true),
    set_config('service.acting_users', $1, true)`
}
const LOCK = {
  name: 'lock',
  text: `SELECT status, session_date, started_at, sets, rpe, notes, version, created_at
    FROM sessions WHERE user_id = $1 AND id = $2 FOR NO KEY UPDATE`
}
const REMEMBERED = {
  name: 'remembered',
  text: `SELECT command_fingerprint, session_snapshot FROM events
    WHERE user_id = $1 AND idempotency_key = $2`
}
const WRITE = {
  name: 'write',
  text: `WITH updated AS (
      UPDATE sessions SET status = 'failed', version = version + 1, ended_at = $4, updated_at = $4
      WHERE user_id = $1 AND id = $2 AND version = $3
      RETURNING user_id, id, version
    ), inserted AS (
      INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
        occurred_at, request_id, idempotency_key, command_fingerprint, session_snapshot)
      SELECT user_id, $5, id, version, 'session_failed', $6, $4, $7, $8, $9, $10 FROM updated
      RETURNING user_id, id
    ), queued AS (
      INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM inserted
    )
    SELECT version FROM updated`
}

const nullable = (type) => ({ type: [type, 'null'] })
const timestamp = { type: 'string', format: 'date-time' }

const BODY = {
  type: ['object', 'null'],
  properties: { reason: nullable('string') },
  additionalProperties: false
}
const PARAMS = { type: 'object', properties: { id: { type: 'string', pattern: UUID } } }
const SESSION = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    status: { type: 'string' },
    sessionDate: timestamp,
    startedAt: timestamp,
    endedAt: timestamp,
    sets: { type: 'array', items: nullable('integer') },
    totalReps: { type: 'integer' },
    rpe: nullable('integer'),
    notes: nullable('string'),
    createdAt: timestamp,
    updatedAt: timestamp
  }
}
const ANSWER = {
  type: 'object',
  properties: {
    data: { type: 'object', properties: { session: SESSION } },
    meta: { type: 'object', properties: {} }
  }
}

class Refused extends Error {
  constructor(status, code, message, details = {}) {
    super(message)
    Object.assign(this, { status, code, details })
  }
}

async function tokenVerifier() {
  return createVerifier({
    key: JWT_SECRET ?? (await publicKey()),
    algorithms: [JWT_SECRET ? 'HS256' : 'ES256'],
    allowedAud: 'authenticated',
    requiredClaims: ['exp', 'sub', 'aud', 'role'],
    clockTolerance: 30_000
  })
}

async function publicKey() {
  const { keys } = await (await fetch(JWKS_URL)).json()
  return createPublicKey({ key: keys[0], format: 'jwk' }).export({ type: 'spki', format: 'pem' })
}

function userId(verify, authorization = '') {
  const [scheme, token] = authorization.split(' ')
  if (scheme.toLowerCase() !== 'bearer' || !token) {
    throw new Refused(401, 'UNAUTHENTICATED', 'An access token is needed.')
  }
  try {
    const claims = verify(token)
    if (claims.role === 'authenticated') return claims.sub
  } catch {}
  throw new Refused(401, 'UNAUTHENTICATED', 'The access token is not valid.')
}

function normalReason(body) {
  const reason = body?.reason?.normalize('NFC').trim()
  if (!reason) return null
  if ([...reason].length > REASON_MAX_LENGTH) {
    throw new Refused(400, 'VALIDATION_ERROR', 'The reason is too long.')
  }
  if (FORBIDDEN.test(reason)) {
    throw new Refused(422, 'INVALID_REASON', 'The reason contains what cannot be kept.')
  }
  return reason
}

function requireInProgress(sessionId, status) {
  if (status === 'in_progress') return
  throw new Refused(
    STAGES[status] < STAGES.in_progress ? 422 : 409,
    'INVALID_STATUS',
    `The session is ${status}; it has to be in_progress.`,
    { sessionId, currentStatus: status, requiredStatus: 'in_progress' }
  )
}

async function inTransaction(pool, userId, work) {
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

function idempotencyKey(header) {
  if (header === undefined) return null
  const key = header.replace(/^"(.*)"$/, '$1')
  if (KEY.test(key)) return key
  throw new Refused(400, 'VALIDATION_ERROR', 'The idempotency key is not valid.')
}

const fingerprint = (...asked) => createHash('sha256').update(JSON.stringify(asked)).digest()

function requireMatch(header, version) {
  if (header === undefined || header.trim() === '*') return
  if (header.match(ENTITY_TAG)?.includes(`"${version}"`)) return
  throw new Refused(412, 'PRECONDITION_FAILED', 'The session has changed since.')
}

async function remembered(client, { userId, key, asked }) {
  if (key === null) return null
  const { rows } = await client.query({ ...REMEMBERED, values: [userId, key] })
  if (rows.length === 0) return null
  if (!rows[0].command_fingerprint.equals(asked)) {
    throw new Refused(422, 'IDEMPOTENCY_KEY_REUSED', 'The key was used for another command.')
  }
  return { ...rows[0].session_snapshot, replayed: true }
}

async function fail(client, command) {
  const { userId, sessionId, reason, requestId, key, asked, ifMatch } = command
  const { rows } = await client.query({ ...LOCK, values: [userId, sessionId] })
  const replay = await remembered(client, command)
  if (replay) return replay
  if (rows.length === 0) throw new Refused(404, 'SESSION_NOT_FOUND', 'There is no such session.')
  const [row] = rows
  requireInProgress(sessionId, row.status)
  requireMatch(ifMatch, row.version)
  const now = new Date()
  const session = present(sessionId, { ...row, status: 'failed', ended_at: now, updated_at: now })
  const answer = { session, version: row.version + 1 }
  const values = [
    userId, sessionId, row.version, now, uuidv7(), { reason }, requestId,
    key, asked, key === null ? null : answer
  ]
  await client.query({ ...WRITE, values })
  return answer
}

// Of two at once with one key, the second finds the first's event when it tries again.
async function failOnce(pool, command) {
  const attempt = () => inTransaction(pool, command.userId, (client) => fail(client, command))
  return attempt().catch((error) => {
    if (error.constraint === ONE_EVENT_PER_KEY) return attempt()
    throw error
  })
}

const present = (id, session) => ({
  id,
  status: session.status,
  sessionDate: session.session_date,
  startedAt: session.started_at,
  endedAt: session.ended_at,
  sets: session.sets,
  totalReps: session.sets.reduce((sum, repetitions) => sum + (repetitions ?? 0), 0),
  rpe: session.rpe,
  notes: session.notes,
  createdAt: session.created_at,
  updatedAt: session.updated_at
})

function onError(error, request, reply) {
  let refused = error
  if (error.validation || error.statusCode === 400) {
    refused = new Refused(400, 'VALIDATION_ERROR', 'The request is not valid.', {
      issues: error.validation ?? []
    })
  } else if (error.statusCode === 413) {
    refused = new Refused(413, 'PAYLOAD_TOO_LARGE', 'The body is too large.')
  } else if (!(error instanceof Refused)) {
    console.error(error)
    refused = new Refused(500, 'INTERNAL_ERROR', 'Something went wrong here.')
  }
  if (refused.status === 401) {
    reply.header('WWW-Authenticate', 'Bearer realm="training-sessions"')
  }
  const { status, code, message, details } = refused
  reply.status(status).send({ error: { code, message, details: { ...details, requestId: request.id } } })
}

async function serve() {
  const verify = await tokenVerifier()
  const pool = new pg.Pool({
    connectionString: DATABASE_URL,
    max: Number(POOL_SIZE),
    lock_timeout: 2_000,
    statement_timeout: 5_000,
    idle_in_transaction_session_timeout: 10_000
  })
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_MAX_BYTES,
    keepAliveTimeout: 75_000,
    genReqId: ({ headers }) => {
      const given = headers['x-request-id'] ?? ''
      return REQUEST_ID.test(given) ? given : randomUUID()
    },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allowUnionTypes: true } }
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'X-Request-Id': request.id,
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff'
    })
    request.userId = userId(verify, request.headers.authorization)
  })
  app.decorateRequest('userId', null)
  app.setErrorHandler(onError)
  const schema = { params: PARAMS, body: BODY, response: { 200: ANSWER } }
  app.post('/sessions/:id/fail', { schema }, async (request, reply) => {
    const { headers, userId } = request
    const sessionId = request.params.id
    const reason = normalReason(request.body)
    const key = idempotencyKey(headers['idempotency-key'])
    const { session, version, replayed } = await failOnce(pool, {
      userId, sessionId, reason, key,
      asked: key === null ? null : fingerprint('fail', sessionId.toLowerCase(), reason),
      ifMatch: headers['if-match'],
      requestId: request.id
    })
    reply.headers({ ETag: `"${version}"`, 'Content-Location': `/sessions/${sessionId}` })
    if (replayed) reply.header('Idempotent-Replayed', 'true')
    return { data: { session }, meta: {} }
  })
  await app.listen({ host: '127.0.0.1', port: Number(PORT), backlog: 2048 })
}

if (cluster.isPrimary) {
  for (let worker = 0; worker < Number(WORKERS); worker += 1) cluster.fork()
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.kill('SIGKILL')
    process.exit(0)
  })
} else {
  await serve()
}
