/** What the three operations of `secagg` read alike. */
import { ascii, nodePrimitives, uniformOf, updateOfIntegers, updateOfReals } from '../../../federated/index.ts'
import type {
  ClientNeeds,
  KeyPair,
  Primitives,
  Reveal,
  RoundHeader,
  SumParameters,
  UpdateSource,
} from '../../../federated/index.ts'
import { objectOf, optionalReals, realOf, realsOf, sizedBytesOf } from './numbers.ts'
import { bytesOf, hexOf, Refusal, textOf, wholeOf } from './suite.ts'
import type { VectorCase } from './suite.ts'

const U32 = 0xffffffff
const KEY_BYTES = 32

export const crypto: Primitives = nodePrimitives

/** Their values are the protocol's to judge; here they are only numbers. */
export function parametersOf(input: VectorCase): SumParameters {
  const number = (field: string): number => wholeOf(input, field, 0, U32)
  return {
    t: number('t'),
    bits: number('bits'),
    f: wholeOf(input, 'f', -0xff, 0xff),
    c: realOf(input, 'c'),
    d: number('d'),
  }
}

export function headerOf(input: VectorCase, parameters: SumParameters): RoundHeader {
  return {
    ...parameters,
    federation: textOf(input, 'federation'),
    job: textOf(input, 'job'),
    round: wholeOf(input, 'round', 0, U32),
    model: sizedBytesOf(input, 'model', KEY_BYTES),
    plan: sizedBytesOf(input, 'plan', KEY_BYTES),
  }
}

export function keyPairOf(input: VectorCase, field: string): KeyPair {
  const secret = sizedBytesOf(input, field, KEY_BYTES)
  const replaced = input[`${field}_pk`] === undefined ? undefined : sizedBytesOf(input, `${field}_pk`, KEY_BYTES)
  return { secret, publicKey: replaced ?? crypto.x25519Public(secret) }
}

export function recordsOf(input: VectorCase): number {
  return wholeOf(input, 'records', 0, U32, 0)
}

export function nonceOf(input: VectorCase): Uint8Array {
  return input['nonce'] === undefined ? new Uint8Array(16) : sizedBytesOf(input, 'nonce', 16)
}

/** Published coefficients, so that shares can be compared. */
export function coefficientsOf(label: string): ClientNeeds['coefficient'] {
  return (kind, position, k) => crypto.sha256(ascii(`${label}${kind}${position}/${k - 1}`))
}

/** `x` with `u`, or `q`: a list, or little-endian int32 in base64. */
export function updateOf(input: VectorCase, parameters: SumParameters): UpdateSource {
  if (input['q'] === undefined) {
    const values = realsOf(input, 'x')
    const given = optionalReals(input, 'u')
    return updateOfReals(values, parameters, given === undefined ? () => 0.5 : uniformOf(given, values.length))
  }
  if (Array.isArray(input['q'])) return updateOfIntegers(realsOf(input, 'q'), parameters)
  const bytes = Buffer.from(textOf(objectOf(input, 'q'), 'i32'), 'base64')
  if (bytes.length % 4 !== 0) throw new Refusal('length', '"q" is no whole number of int32')
  return updateOfIntegers(new Int32Array(new Uint8Array(bytes).buffer), parameters)
}

export function shownReveal(reveal: Reveal): VectorCase {
  const of = (kind: 'b' | 's'): VectorCase => {
    const rising = [...reveal].filter(([, share]) => share.kind === kind).sort(([left], [right]) => left - right)
    return Object.fromEntries(rising.map(([owner, { share }]) => [owner, hexOf(share)]))
  }
  return { b: of('b'), s: of('s') }
}

/** Both kinds by owner, as a transcript has them; of one owner there may be one. */
export function revealOf(input: VectorCase): Reveal {
  const reveal = new Map<number, { kind: 'b' | 's'; share: Uint8Array }>()
  for (const kind of ['b', 's'] as const) {
    if (input[kind] === undefined) continue
    const shares = objectOf(input, kind)
    for (const owner of Object.keys(shares)) {
      const position = positionOf(owner)
      if (reveal.has(position))
        throw new Refusal('survivors', `both shares of ${owner} are revealed`, { party: position })
      reveal.set(position, { kind, share: bytesOf(shares, owner) })
    }
  }
  return reveal
}

export function positionOf(text: string): number {
  if (!/^(0|[1-9]\d{0,4})$/.test(text)) throw new Refusal('malformed', `${JSON.stringify(text)} is no position`)
  return Number(text)
}
