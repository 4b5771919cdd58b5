// SPDX-License-Identifier: MIT

import * as commands from './commands.js'
import { idempotencyKey, invalid, isKnown, normalText } from './contract.js'
import {
  ANSWER, ANSWER_OF_LIST, COMPLETE, FAIL, PARAMS, PLAN, QUERY, START, UPDATE
} from './schemas.js'
import { change, find, list, plan } from './transactions.js'

const DEFAULT_LIMIT = 20

const callerOf = ({ headers, userId, id }) => ({
  userId,
  requestId: id,
  key: idempotencyKey(headers['idempotency-key']),
  ifMatch: headers['if-match']
})

function written(reply, { session, version, replayed }, location) {
  reply.headers({ ETag: `"${version}"`, [location]: `/sessions/${session.id}` })
  if (replayed) reply.header('Idempotent-Replayed', 'true')
  return { data: { session }, meta: {} }
}

function positionOf(cursor) {
  if (cursor === undefined) return null
  const [moment, id] = Buffer.from(cursor, 'base64url').toString().split(' ')
  const date = new Date(moment)
  if (Number.isNaN(date.getTime()) || !id) throw invalid('The cursor is not valid.')
  return [date, id]
}

const cursorOf = ({ sessionDate, id }) =>
  Buffer.from(`${sessionDate.toISOString()} ${id}`).toString('base64url')

export function addRoutes(app, pool) {
  const changing = (method, url, body, command) => {
    const schema = { params: PARAMS, body, response: { 200: ANSWER } }
    app.route({
      method, url, schema,
      handler: async (request, reply) => {
        const changed = command(request.body)
        const answer = await change(pool, callerOf(request), request.params.id, changed)
        return written(reply, answer, 'Content-Location')
      }
    })
  }

  app.post('/sessions', { schema: { body: PLAN, response: { 201: ANSWER } } }, planSession)
  app.get('/sessions', { schema: { querystring: QUERY, response: { 200: ANSWER_OF_LIST } } }, getAll)
  app.get('/sessions/:id', { schema: { params: PARAMS, response: { 200: ANSWER } } }, getSession)
  changing('PATCH', '/sessions/:id', UPDATE, commands.update)
  changing('POST', '/sessions/:id/start', START, commands.start)
  changing('POST', '/sessions/:id/complete', COMPLETE, commands.complete)
  changing('POST', '/sessions/:id/fail', FAIL, commands.fail)

  async function planSession(request, reply) {
    const { sessionDate, sets, notes } = request.body ?? {}
    const asked = { sessionDate, sets, notes: normalText(notes, 'NOTES') }
    const answer = await plan(pool, callerOf(request), asked)
    reply.status(201)
    return written(reply, answer, 'Location')
  }

  async function getSession(request, reply) {
    const { session, version } = await find(pool, request.userId, request.params.id)
    reply.header('ETag', `"${version}"`)
    if (isKnown(request.headers['if-none-match'], version)) return reply.status(304).send()
    return { data: { session }, meta: {} }
  }

  async function getAll(request) {
    const limit = Number(request.query.limit ?? DEFAULT_LIMIT)
    const found = await list(pool, request.userId, limit, positionOf(request.query.cursor))
    const sessions = found.slice(0, limit)
    const meta = found.length > limit ? { nextCursor: cursorOf(sessions.at(-1)) } : {}
    return { data: { sessions }, meta }
  }
}
