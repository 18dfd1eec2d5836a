/**
 * Signed, versioned records: what peers tell each other, and pass on. On the wire a record is the signature (64 bytes,
 * Ed25519 by the author over a domain and what follows) and the canonical JSON of {author, body, key, kind, version}.
 * So what is verified is exactly what was received, whoever forwarded it.
 */
import { z } from 'zod'
import { isPeerId, verify } from '../trust/index.ts'
import { canonicalJson, isCanonicalJson } from '../util/index.ts'
import { RecordTooLargeError } from './errors.ts'
import { MAX_NAME, MAX_RECORD_BYTES } from './limits.ts'

export const SIGNATURE_BYTES = 64
/** Keeps these signatures from ever standing for anything else that the identity signs. */
const DOMAIN = Buffer.from('weft mesh record 1\n')

export interface MeshRecord {
  /** Kinds that this version does not know are possible here. */
  readonly kind: string
  readonly key: string
  /** PeerId. */
  readonly author: string
  /** Rising for each author and key; near milliseconds since 1970. */
  readonly version: number
  readonly body: unknown
}

export interface SealedRecord {
  readonly record: MeshRecord
  /** As on the wire: signature and canonical JSON. */
  readonly bytes: Uint8Array
}

/** What the mesh needs of the identity of this peer. */
export interface Signer {
  readonly id: string
  sign(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>
}

const envelope = z.strictObject({
  author: z.string().max(64).refine(isPeerId),
  body: z.unknown(),
  key: z
    .string()
    .max(MAX_NAME)
    .regex(/^[^\n]*$/),
  kind: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  version: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
})

/** What names a record: a newer version takes the place of the older one of the same id. */
export function recordId(record: Pick<MeshRecord, 'kind' | 'author' | 'key'>): string {
  return `${record.kind}\n${record.author}\n${record.key}`
}

/** @throws RecordTooLargeError */
export async function sealRecord(signer: Signer, record: Omit<MeshRecord, 'author'>): Promise<SealedRecord> {
  const whole: MeshRecord = { ...record, author: signer.id }
  const json = Buffer.from(canonicalJson(whole))
  if (json.length + SIGNATURE_BYTES > MAX_RECORD_BYTES) {
    throw new RecordTooLargeError(record.kind, json.length + SIGNATURE_BYTES, MAX_RECORD_BYTES)
  }
  const signature = await signer.sign(Buffer.concat([DOMAIN, json]))
  return { record: whole, bytes: new Uint8Array(Buffer.concat([signature, json])) }
}

/**
 * Reads the envelope; nothing is believed yet. Undefined when the bytes are no record. What is given back has bytes of its own:
 * those that came may be a part of many others, which would stay in memory with them.
 */
export function readRecord(bytes: Uint8Array): SealedRecord | undefined {
  if (bytes.length <= SIGNATURE_BYTES || bytes.length > MAX_RECORD_BYTES) return undefined
  try {
    const json = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(SIGNATURE_BYTES))
    const value: unknown = JSON.parse(json)
    const result = envelope.safeParse(value)
    // A second spelling of the same record would be a second record to whoever compares bytes.
    if (!result.success || !isCanonicalJson(json, value)) return undefined
    const { author, body, key, kind, version } = result.data
    return { record: { author, body, key, kind, version }, bytes: bytes.slice() }
  } catch {
    return undefined
  }
}

/** Did the author that the record names sign these bytes? About 0.1 ms. */
export function isGenuine({ record, bytes }: SealedRecord): boolean {
  const signed = Buffer.concat([DOMAIN, bytes.subarray(SIGNATURE_BYTES)])
  return verify(record.author, signed, bytes.subarray(0, SIGNATURE_BYTES))
}
