/** The form of an entry, strictly: what is not in here is refused, so that no two versions read one entry differently. */
import { z } from 'zod'
import { LABEL } from '../../util/index.ts'
import { isPeerId } from '../identity.ts'
import { CERTIFICATE_LIFETIME, LOG_LIMITS } from './limits.ts'
import { BOX_TEXT } from './seal.ts'
import { ROLES } from './types.ts'

const hex = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`))
const whole = z.int().min(0)
const peer = z.string().max(64).refine(isPeerId, 'no PeerId of an Ed25519 key')
const label = (most: number): z.ZodString => z.string().max(most).regex(LABEL)

const common = {
  v: z.literal(1),
  cluster: hex(32),
  height: whole.min(1).max(LOG_LIMITS.entries),
  previous: hex(32),
  at: whole,
}
const threshold = z
  .strictObject({ k: z.int().min(1).max(LOG_LIMITS.admins), n: z.int().min(1).max(LOG_LIMITS.admins) })
  .refine(({ k, n }) => k <= n, 'more must sign than there are')
/** 48 bytes are 64 characters of base64, without padding or spare bits: one spelling. */
const BOX = /^[A-Za-z0-9+/]{64}$/

/** The same of any number of them, in a fifth of the time that a pattern takes for as long a text. */
function areBoxes(text: string): boolean {
  if (text === '' || text.length % BOX_TEXT !== 0) return false
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === (text.length / 4) * 3 && bytes.toString('base64') === text
}

const sealed = z.strictObject({ ephemeral: hex(32), box: z.string().regex(BOX) })

/** Strictly rising: no doubles, and one order for one set. */
function isRising(values: readonly string[]): boolean {
  return values.every((value, index) => index === 0 || values[index - 1]! < value)
}

const rotation = z.strictObject({
  epoch: whole.min(1),
  ephemeral: hex(32),
  boxes: z
    .string()
    .max(BOX_TEXT * LOG_LIMITS.members)
    .refine(areBoxes, 'a box is cut off, or is none'),
})

const bodySchema = z.discriminatedUnion('kind', [
  z.strictObject({
    ...common,
    kind: z.literal('genesis'),
    cluster: z.literal(''),
    height: z.literal(0),
    previous: z.literal(''),
    name: label(LOG_LIMITS.name).min(1),
    root: peer,
    random: hex(32),
    founder: z.strictObject({ peer, name: label(LOG_LIMITS.name), site: label(LOG_LIMITS.site) }),
    threshold,
    rotation,
  }),
  z.strictObject({
    ...common,
    kind: z.literal('admit'),
    peer,
    name: label(LOG_LIMITS.name),
    role: z.enum(ROLES),
    site: label(LOG_LIMITS.site),
    inviter: peer,
    key: sealed,
  }),
  z.strictObject({
    ...common,
    kind: z.literal('revoke'),
    peer,
    reason: label(LOG_LIMITS.reason),
    left: z.boolean(),
    rotation,
  }),
  z.strictObject({
    ...common,
    kind: z.literal('set-admins'),
    admins: z.array(peer).min(1).max(LOG_LIMITS.admins).refine(isRising, 'the admins are not in order'),
    threshold,
  }),
  z.strictObject({ ...common, kind: z.literal('rotate'), rotation }),
  z.strictObject({ ...common, kind: z.literal('checkpoint'), state: hex(32) }),
  z.strictObject({
    ...common,
    kind: z.literal('certificates'),
    lifetime: z
      .int()
      .max(CERTIFICATE_LIFETIME.most)
      .refine((ms) => ms === 0 || ms >= CERTIFICATE_LIFETIME.least, 'certificates would end before they are renewed'),
  }),
])

export const entrySchema = z.strictObject({
  body: bodySchema,
  signatures: z
    .array(z.strictObject({ by: peer, sig: hex(64) }))
    .min(1)
    .max(LOG_LIMITS.admins + 1)
    .refine((all) => isRising(all.map(({ by }) => by)), 'the signatures are not in order'),
})

export const headSchema = z.strictObject({ height: whole.max(LOG_LIMITS.entries), hash: hex(32) })

export const certificateSchema = z.strictObject({
  body: z
    .strictObject({
      v: z.literal(1),
      cluster: hex(32),
      peer,
      role: z.enum(ROLES),
      site: label(LOG_LIMITS.site),
      epoch: whole.min(1),
      head: headSchema,
      from: whole,
      until: whole,
      by: peer,
    })
    .refine(({ from, until }) => from < until, 'it ends before it begins'),
  sig: hex(64),
})

export const beatSchema = z.strictObject({ head: headSchema, at: whole, by: peer, sig: hex(64) })
