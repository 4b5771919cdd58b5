// SPDX-License-Identifier: MIT
// Fastify and pg, a transaction per request.

import cluster from 'node:cluster'
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import pg from 'pg'
import { Refused } from './contract.js'
import { addRoutes } from './routes.js'
import { tokenVerifier, userId } from './tokens.js'

const { DATABASE_URL, POOL_SIZE, PORT, WORKERS } = process.env

const BODY_MAX_BYTES = 80 * 1024
const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/

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
    refused = new Refused(500, 'INTERNAL_ERROR', 'An internal error occurred.')
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
  // An empty body is no body, whatever its type.
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) =>
    body === '' ? done(null, null) : parse(request, body, done)
  )
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
  addRoutes(app, pool)
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
