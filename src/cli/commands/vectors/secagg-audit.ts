/** `secagg`, op `audit`: anybody computes a round again from its transcript. */
import { auditRound } from '../../../federated/index.ts'
import type { SecureSum } from '../../../federated/index.ts'
import { objectOf, objectsOf } from './numbers.ts'
import { crypto, positionOf, revealOf } from './secagg-fields.ts'
import { bytesOf, hexOf, wholeOf, wholesOf } from './suite.ts'
import type { VectorCase } from './suite.ts'

const U32 = 0xffffffff

export function auditCase(input: VectorCase): VectorCase {
  const masked = objectOf(input, 'masked')
  const digests = objectOf(input, 'masked_digest')
  const reveals = objectOf(input, 'reveal')
  const bytesBy = (object: VectorCase): Map<number, Uint8Array> =>
    new Map(Object.keys(object).map((key) => [positionOf(key), bytesOf(object, key)]))
  const result = auditRound(crypto, {
    t: wholeOf(input, 't', 0, U32),
    bits: wholeOf(input, 'bits', 0, U32),
    d: wholeOf(input, 'd', 0, U32),
    sid: bytesOf(input, 'sid'),
    roster: objectsOf(input, 'roster').map((member) => ({
      maskKey: bytesOf(member, 's_pk'),
      commitment: bytesOf(member, 'commitment'),
    })),
    sharers: new Set(wholesOf(input, 'U2', 0, U32)),
    survivors: new Set(wholesOf(input, 'U3', 0, U32)),
    masked: bytesBy(masked),
    digests: bytesBy(digests),
    reveals: new Map(Object.keys(reveals).map((key) => [positionOf(key), revealOf(objectOf(reveals, key))])),
  })
  return { sum: [...result.words], sum_digest: hexOf(result.digest), ...shownSecrets(result) }
}

export function shownSecrets({ b, s, blamed }: Pick<SecureSum, 'b' | 's' | 'blamed'>): VectorCase {
  const shown = (secrets: ReadonlyMap<number, Uint8Array>): VectorCase =>
    Object.fromEntries([...secrets].map(([owner, secret]) => [owner, hexOf(secret)]))
  return { reconstructed: { b: shown(b), s: shown(s) }, blamed }
}
