/** Heart-beats: admins say again and again which head is the newest, so that silence can be told from peace. */
import { canonicalJson } from '../../util/index.ts'
import { verify } from '../identity.ts'
import type { EntrySigner } from './entry.ts'
import { beatSchema } from './schema.ts'
import type { HeartBeat, LogHead } from './types.ts'

const DOMAIN = 'weft membership heart-beat 1\n'

function signedBytes(cluster: string, head: LogHead, at: number): Uint8Array {
  return Buffer.from(DOMAIN + canonicalJson({ at, cluster, hash: head.hash, height: head.height }))
}

export function makeBeat(cluster: string, head: LogHead, at: number, signer: EntrySigner): HeartBeat {
  const sig = Buffer.from(signer.sign(signedBytes(cluster, head, at))).toString('hex')
  return { head, at, by: signer.id, sig }
}

/** Undefined for what is none. Whether its signer is an admin is asked elsewhere. */
export function readBeat(cluster: string, value: unknown): HeartBeat | undefined {
  const result = beatSchema.safeParse(value)
  if (!result.success) return undefined
  const { head, at, by, sig } = result.data
  return verify(by, signedBytes(cluster, head, at), Buffer.from(sig, 'hex')) ? result.data : undefined
}
