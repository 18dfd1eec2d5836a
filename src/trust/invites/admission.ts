/**
 * An admission as a file, for a site that cannot reach the admin when it joins: the admin has let one peer in already, by
 * its id, and hands over the log in which that stands. Nothing in it is a secret that serves anybody else: the group key is
 * sealed to that peer. Whoever adopts it believes what the cluster's hash pins, as with a token.
 */
import { z } from 'zod'
import { isPeerId } from '../identity.ts'
import { adoptLog, decodeEntry, LOG_LIMITS, memoryLogStore } from '../membership/index.ts'
import type { Entry } from '../membership/index.ts'
import { InviteBoundError, TokenFormError } from './errors.ts'
import { refusedAddresses } from './token.ts'

/** A log of some ten thousand entries, in base64. */
export const MAX_ADMISSION = 64 << 20

const schema = z.strictObject({
  schema: z.literal('weft.admission/1'),
  cluster: z.string().regex(/^[0-9a-f]{64}$/),
  /** Who was let in. */
  peer: z.string().max(64).refine(isPeerId),
  admin: z.string().max(64).refine(isPeerId),
  /** Of the admin; none where it is not to be dialled. */
  addresses: z.array(z.string()).max(8),
  entries: z.array(z.base64()).min(2).max(LOG_LIMITS.entries),
})

export interface Admission {
  readonly cluster: string
  readonly peer: string
  readonly admin: string
  readonly addresses: readonly string[]
  readonly entries: readonly Entry[]
}

export function encodeAdmission({ entries, ...rest }: Admission): string {
  const encoded = entries.map(({ bytes }) => Buffer.from(bytes).toString('base64'))
  return `${JSON.stringify({ schema: 'weft.admission/1', ...rest, entries: encoded })}\n`
}

/**
 * Checked whole, from the first entry on, before anything is written.
 * @param self who is about to adopt it. @throws TokenFormError, InviteBoundError, and what the log is refused with
 */
export function decodeAdmission(text: string, self: string): Admission {
  if (text.length > MAX_ADMISSION) throw new TokenFormError(`it has ${text.length} characters`)
  const value = parsed(text)
  if (value === undefined) throw new TokenFormError('the file is cut off, or damaged')
  const result = schema.safeParse(value)
  if (!result.success) throw new TokenFormError('the file is no admission')
  const { schema: _schema, entries: encoded, ...rest } = result.data
  const why = rest.addresses.length === 0 ? undefined : refusedAddresses(rest.addresses)
  if (why !== undefined) throw new TokenFormError(why)
  if (!rest.addresses.every((address) => address.endsWith(`/p2p/${rest.admin}`)))
    throw new TokenFormError('its addresses lead to another peer than its admin')
  const entries = encoded.map((one) => decodeEntry(new Uint8Array(Buffer.from(one, 'base64'))))
  const { state } = adoptLog(memoryLogStore(), rest.cluster, entries)
  if (rest.peer !== self || !state.members.has(self)) throw new InviteBoundError(self)
  return { ...rest, entries }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
