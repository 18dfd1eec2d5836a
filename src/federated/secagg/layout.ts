/** The byte strings that are hashed and signed: reference/vectors.md, section 1, decides each of them. */
import { VectorLengthError } from '../errors.ts'
import { ascii, concat, f64, lengthPrefixed, u16, u32, u8 } from './bytes.ts'
import type { SumParameters } from './encoding.ts'
import type { Primitives } from './primitives.ts'

/** What a round is about; every member derives it from the plan that it approved, and never from the aggregator. */
export interface RoundHeader extends SumParameters {
  readonly federation: string
  readonly job: string
  readonly round: number
  /** SHA-256 of the global model that members start from. */
  readonly model: Uint8Array
  /** SHA-256 of the canonical plan. */
  readonly plan: Uint8Array
}

/** What a member publishes first (R0). */
export interface Advertisement {
  /** Ed25519, 32 bytes. */
  readonly identity: Uint8Array
  /** X25519, of the channels that carry shares. */
  readonly channelKey: Uint8Array
  /** X25519, of the pairwise masks. */
  readonly maskKey: Uint8Array
  /** SHA-256 of the seed of the self mask. */
  readonly commitment: Uint8Array
  /** 16 bytes. */
  readonly nonce: Uint8Array
  /** At least so many records: in the clear, since it is checked before anything is unmasked. */
  readonly records: number
  /** Ed25519, 64 bytes. */
  readonly signature: Uint8Array
}

const HASH_BYTES = 32
const NONCE_BYTES = 16

export function headerBytes(header: RoundHeader): Uint8Array {
  if (header.model.length !== HASH_BYTES || header.plan.length !== HASH_BYTES) {
    throw new VectorLengthError('the hashes of model and plan have 32 bytes')
  }
  return concat(
    ascii('fl-secagg/1 header'),
    lengthPrefixed(header.federation),
    lengthPrefixed(header.job),
    u32(header.round),
    header.model,
    header.plan,
    u16(header.t),
    u8(header.bits),
    u8(header.f),
    u32(header.d),
    f64(header.c),
  )
}

/** @throws VectorLengthError when a key, hash or nonce has another length: concatenated fields must not slide */
export function advertiseBytes(
  crypto: Primitives,
  header: Uint8Array,
  entry: Omit<Advertisement, 'signature'>,
): Uint8Array {
  const { identity, channelKey, maskKey, commitment, nonce } = entry
  const whole = [identity, channelKey, maskKey, commitment].every(({ length }) => length === HASH_BYTES)
  if (!whole || nonce.length !== NONCE_BYTES) {
    throw new VectorLengthError('a key, commitment or nonce of an advertisement has another length')
  }
  return concat(
    ascii('fl-secagg/1 advertise'),
    crypto.sha256(header),
    channelKey,
    maskKey,
    commitment,
    nonce,
    u32(entry.records),
  )
}

/** The session: bound to model, plan, parameters and roster; computed by each member, never accepted from anybody. */
export function sessionId(crypto: Primitives, header: Uint8Array, roster: readonly Advertisement[]): Uint8Array {
  const members = roster.flatMap((entry) => [
    entry.identity,
    entry.channelKey,
    entry.maskKey,
    entry.commitment,
    entry.signature,
  ])
  return crypto.sha256(ascii('fl-secagg/1 sid'), header, u16(roster.length), ...members)
}

export function maskedBytes(sid: Uint8Array, position: number, digest: Uint8Array): Uint8Array {
  return concat(ascii('fl-secagg/1 masked'), sid, u16(position), digest)
}

/** @param survivors position to digest */
export function survivorsBytes(sid: Uint8Array, survivors: ReadonlyMap<number, Uint8Array>): Uint8Array {
  const rising = [...survivors].sort(([left], [right]) => left - right)
  return concat(
    ascii('fl-secagg/1 survivors'),
    sid,
    u16(rising.length),
    ...rising.flatMap(([position, digest]) => [u16(position), digest]),
  )
}
