/** The body of `/api/v1/cluster`: one action a request. */
import { z } from 'zod'
import { CERTIFICATE_LIFETIME, isPeerId, LOG_LIMITS, ROLES } from '../../trust/index.ts'
import { defined } from '../defined.ts'
import { whole } from '../fields.ts'

const peer = z.string().max(64).refine(isPeerId, 'expected a PeerId')
const text = (most: number): z.ZodString => z.string().max(most)
/** A proposal has a box for each member. */
const MAX_PROPOSAL = LOG_LIMITS.entryBytes + 4_096
const MAX_LIFETIME_MS = 366 * 86_400_000
const admins = z.array(peer).min(1).max(LOG_LIMITS.admins)
const count = whole(1, LOG_LIMITS.admins)

export const clusterSchema = z
  .discriminatedUnion('do', [
    z.strictObject({ do: z.literal('show'), verify: z.boolean().optional() }),
    z.strictObject({
      do: z.literal('invite'),
      role: z.enum(ROLES),
      site: text(LOG_LIMITS.site),
      lifetime: whole(1, MAX_LIFETIME_MS),
      uses: whole(1, LOG_LIMITS.members),
      peer: peer.optional(),
      approve: z.boolean(),
      addresses: z.array(text(256)).min(1).max(8).optional(),
    }),
    z.strictObject({
      do: z.literal('admit'),
      peer,
      name: text(LOG_LIMITS.name),
      role: z.enum(ROLES),
      site: text(LOG_LIMITS.site),
      addresses: z.array(text(256)).min(1).max(8).optional(),
    }),
    z.strictObject({ do: z.literal('invites') }),
    z.strictObject({ do: z.literal('uninvite'), id: text(64) }),
    z.strictObject({ do: z.literal('revoke'), peer, reason: text(LOG_LIMITS.reason) }),
    z.strictObject({ do: z.literal('admins'), admins, k: count.optional(), n: count.optional() }),
    z.strictObject({ do: z.literal('rotate') }),
    z.strictObject({ do: z.literal('certificates'), lifetime: whole(0, CERTIFICATE_LIFETIME.most) }),
    z.strictObject({ do: z.literal('sign'), proposal: text(MAX_PROPOSAL) }),
    z.strictObject({ do: z.literal('leave'), reason: text(LOG_LIMITS.reason) }),
    z.strictObject({ do: z.literal('export') }),
    z.strictObject({ do: z.literal('recover'), root: z.string().regex(/^[0-9a-f]{64}$/), admins }),
  ])
  .transform((action) => defined(action))
