// SPDX-License-Identifier: MIT
// What each command makes of a session: new values and an event, or null if nothing changes.

import { isDeepStrictEqual } from 'node:util'
import { normalText, Refused, requireStatus } from './contract.js'

export const totalReps = (sets) => sets.reduce((sum, repetitions) => sum + (repetitions ?? 0), 0)

export const start = () => ({
  name: 'start',
  asked: null,
  decide(row, now) {
    requireStatus(row, 'planned')
    const values = { status: 'in_progress', started_at: now }
    return { values, type: 'session_started', data: {} }
  }
})

export function fail(body) {
  const data = { reason: normalText(body?.reason, 'REASON') }
  return {
    name: 'fail',
    asked: data,
    decide(row, now) {
      requireStatus(row, 'in_progress')
      return { values: { status: 'failed', ended_at: now }, type: 'session_failed', data }
    }
  }
}

export const complete = (body) => ({
  name: 'complete',
  asked: body,
  decide(row, now) {
    requireStatus(row, 'in_progress')
    const sets = body?.sets ?? row.sets
    const rpe = body?.rpe ?? row.rpe
    if (!totalReps(sets)) {
      const message = 'A completed session needs a repetition.'
      throw new Refused(422, 'NO_REPETITIONS', message, { sessionId: row.id })
    }
    return {
      values: { status: 'completed', ended_at: now, sets, rpe },
      type: 'session_completed',
      data: { sets, totalReps: totalReps(sets), rpe }
    }
  }
})

export function update(body) {
  const { sessionDate, notes, ...given } = body
  if (sessionDate !== undefined) given.session_date = new Date(sessionDate)
  if (notes !== undefined) given.notes = normalText(notes, 'NOTES')
  return {
    name: 'update',
    asked: body,
    decide(row) {
      requireStatus(row, 'in_progress', 'planned')
      const changed = Object.entries(given).filter(
        ([name, value]) => !isDeepStrictEqual(value, row[name])
      )
      const values = Object.fromEntries(changed)
      if (values.session_date) requireStatus(row, 'planned')
      if (changed.length === 0) return null
      const { sets, rpe, notes, session_date } = { ...row, ...values }
      const data = { sets, totalReps: totalReps(sets), rpe, notes, sessionDate: session_date }
      return { values, type: 'session_updated', data }
    }
  }
}
