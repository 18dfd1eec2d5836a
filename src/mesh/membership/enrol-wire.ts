/**
 * Messages of `/weft/enrol/1`, over a connection that has the key of the cluster's door and was not greeted. The joiner
 * sends its secret when it knows that the other side is an admin of the cluster that its invite names, and not before;
 * the admin says nothing of the cluster before it knows that the joiner has an invite that is good for it.
 *
 *   type 1 ask      joiner: control {invite, nonce, mac}: HMAC-SHA-256 with the hash of the secret, over cluster, both ids,
 *                   who says it, and the nonce
 *   type 2 proof    admin: control {mac}, as in 1; of a random key, and the last word, where that one was wrong
 *   type 3 entries  admin: those entries that say who the admins are (entry-frames.ts); or 6
 *   type 4 hand-in  joiner: control {secret, name}
 *   type 5 log      admin: all entries, the joiner's own among them; control of type 7 came before
 *   type 6 refused  admin: control {code, message, why, hint}
 *   type 7 joined   admin: control {clock}: milliseconds since 1970
 */
import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { ErrorData } from '../../errors.ts'
import { MeshProtocolError } from '../errors.ts'

export const ENROL_PROTOCOL = '/weft/enrol/1'
export const ENROL = { ask: 1, proof: 2, entries: 3, handIn: 4, log: 5, refused: 6, joined: 7 } as const
export const NONCE_BYTES = 32

const bytes = (length: number): z.ZodType<Uint8Array> =>
  z.instanceof(Uint8Array).refine((value) => value.length === length)
const text = z.string().max(500)

const schemas = {
  ask: z.strictObject({ invite: z.string().regex(/^[0-9a-f]{16}$/), nonce: bytes(NONCE_BYTES), mac: bytes(32) }),
  proof: z.strictObject({ mac: bytes(32) }),
  handIn: z.strictObject({ secret: bytes(16), name: z.string().max(64) }),
  refused: z.strictObject({ code: z.string().max(20), message: text, why: text.nullable(), hint: text.nullable() }),
  joined: z.strictObject({ clock: z.int().min(0) }),
} as const

type Kind = keyof typeof schemas

/** @throws MeshProtocolError, ControlError */
export function readEnrol<K extends Kind>(peer: string, kind: K, message: Frame): z.output<(typeof schemas)[K]> {
  const result = schemas[kind].safeParse(message.type === ENROL[kind] ? decodeControl(message.control) : undefined)
  if (!result.success) throw new MeshProtocolError(peer, `it said something else where ${kind} is next`)
  return result.data as z.output<(typeof schemas)[K]>
}

export function enrolFrame<K extends Kind>(kind: K, value: z.input<(typeof schemas)[K]>): Frame {
  return frame({ type: ENROL[kind], control: encodeControl(value) })
}

export function refusedFrame({ code, message, why, hint }: ErrorData): Frame {
  const cut = (one: string | null): string | null => one?.slice(0, 500) ?? null
  return enrolFrame('refused', { code, message: message.slice(0, 500), why: cut(why), hint: cut(hint) })
}

export interface EnrolNames {
  readonly cluster: string
  readonly admin: string
  readonly joiner: string
  readonly nonce: Uint8Array
}

/** @param key hash of the secret: whoever made the invite has it, and whoever has the invite can make it */
export function enrolMac(key: Uint8Array, says: 'admin' | 'joiner', names: EnrolNames): Uint8Array {
  const { cluster, admin, joiner, nonce } = names
  const text = `weft enrol 1\n${says}\n${cluster}\n${admin}\n${joiner}\n`
  return new Uint8Array(createHmac('sha256', key).update(text).update(nonce).digest())
}
