// SPDX-License-Identifier: MIT
// Refusals, texts and conditions of the HTTP contract.

import { createHash } from 'node:crypto'

const FORBIDDEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]/u
const KEY = /^[\x21-\x7e]{1,255}$/
const ENTITY_TAG = /(?:W\/)?"[^"]*"/g
const STAGES = { planned: 0, in_progress: 1, completed: 2, failed: 2 }
const TEXT_MAX_LENGTH = { REASON: 500, NOTES: 2000 }

export class Refused extends Error {
  constructor(status, code, message, details = {}) {
    super(message)
    Object.assign(this, { status, code, details })
  }
}

export const invalid = (message) => new Refused(400, 'VALIDATION_ERROR', message)

export const notFound = () => new Refused(404, 'SESSION_NOT_FOUND', 'There is no such session.')

// A refusal names the first of the accepted statuses.
export function requireStatus(row, ...accepted) {
  if (accepted.includes(row.status)) return
  const [required] = accepted
  const tooEarly = STAGES[row.status] < Math.min(...accepted.map((each) => STAGES[each]))
  throw new Refused(
    tooEarly ? 422 : 409,
    'INVALID_STATUS',
    `The session is ${row.status}; it has to be ${required}.`,
    { sessionId: row.id, currentStatus: row.status, requiredStatus: required }
  )
}

// kind: REASON or NOTES.
export function normalText(text, kind) {
  const normal = text?.normalize('NFC').trim()
  if (!normal) return null
  if ([...normal].length > TEXT_MAX_LENGTH[kind]) throw invalid('The text is too long.')
  if (FORBIDDEN.test(normal)) {
    throw new Refused(422, `INVALID_${kind}`, 'The text contains what cannot be kept.')
  }
  return normal
}

export function idempotencyKey(header) {
  if (header === undefined) return null
  const key = header.replace(/^"(.*)"$/, '$1')
  if (KEY.test(key)) return key
  throw invalid('The idempotency key is not valid.')
}

export const fingerprint = (...asked) =>
  createHash('sha256').update(JSON.stringify(asked)).digest()

// Strong comparison: a weak tag never matches.
export function requireMatch(header, version) {
  if (header === undefined || header.trim() === '*') return
  if (header.match(ENTITY_TAG)?.includes(`"${version}"`)) return
  throw new Refused(412, 'PRECONDITION_FAILED', 'The session has changed since.')
}

export function isKnown(header, version) {
  if (header === undefined) return false
  const tags = header.match(ENTITY_TAG)?.map((tag) => tag.replace(/^W\//, ''))
  return header.trim() === '*' || Boolean(tags?.includes(`"${version}"`))
}
