// SPDX-License-Identifier: MIT

import { createPublicKey } from 'node:crypto'
import { createVerifier } from 'fast-jwt'
import { Refused } from './contract.js'

const { JWKS_URL, JWT_SECRET } = process.env

export async function tokenVerifier() {
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

export function userId(verify, authorization = '') {
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
