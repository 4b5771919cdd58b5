// SPDX-License-Identifier: MIT
// Schemas of requests and answers: Fastify validates and serialises by them.

const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'

const nullable = (type) => ({ type: [type, 'null'] })
const timestamp = { type: 'string', format: 'date-time' }
const repetitions = { type: ['integer', 'null'], minimum: 1, maximum: 1000 }
const sets = { type: 'array', items: repetitions, maxItems: 20 }
const rpe = { type: ['integer', 'null'], minimum: 1, maximum: 10 }
const body = (properties, type = ['object', 'null']) => ({
  type, properties, additionalProperties: false
})

export const PLAN = body({
  sessionDate: { ...timestamp, nullable: true },
  sets: { ...sets, nullable: true },
  notes: nullable('string')
})
export const START = body({})
export const UPDATE = {
  ...body({ sessionDate: timestamp, sets, rpe, notes: nullable('string') }, 'object'),
  minProperties: 1
}
export const COMPLETE = body({ sets: { ...sets, nullable: true }, rpe })
export const FAIL = body({ reason: nullable('string') })

export const PARAMS = { type: 'object', properties: { id: { type: 'string', pattern: UUID } } }
export const QUERY = {
  type: 'object',
  properties: {
    limit: { type: 'string', pattern: '^([1-9][0-9]?|100)$' },
    cursor: { type: 'string', pattern: '^[A-Za-z0-9_-]+$' }
  }
}

const SESSION = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    status: { type: 'string' },
    sessionDate: timestamp,
    startedAt: { ...timestamp, nullable: true },
    endedAt: { ...timestamp, nullable: true },
    sets: { type: 'array', items: nullable('integer') },
    totalReps: { type: 'integer' },
    rpe: nullable('integer'),
    notes: nullable('string'),
    createdAt: timestamp,
    updatedAt: timestamp
  }
}
const envelope = (properties) => ({
  type: 'object',
  properties: {
    data: { type: 'object', properties },
    meta: { type: 'object', properties: { nextCursor: { type: 'string' } } }
  }
})
export const ANSWER = envelope({ session: SESSION })
export const ANSWER_OF_LIST = envelope({ sessions: { type: 'array', items: SESSION } })
