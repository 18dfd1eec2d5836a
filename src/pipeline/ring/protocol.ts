/**
 * The ring (DESIGN decision 6): rows go from hop to hop, one network step a stage, and the last hop answers the origin
 * directly. The origin opens and closes each hop itself, so that what only one of them needs (the sampler, and with it
 * perhaps the prompt's tokens) goes to that one alone.
 *
 * A route may change in the middle of a session. The origin then begins another attempt: hops that stay are told their new
 * route (`reroute`) and answer how many rows they have (`rerouted`), hops that are new are opened, and once all have
 * answered, each is told from which row the next one needs what it kept (`resume`). Frames of an older attempt are fenced.
 */
import { z } from 'zod'
import { decodeControl, FrameError } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { MAX_SCHEMA_TEXT } from '../host/grammar/schema.ts'
import { tokenIdsSchema } from '../host/token-ids.ts'
import { MAX_TOLD } from '../told.ts'
import { MAX_RUNS, NAME_BYTES } from '../prefix/names.ts'
import { GUESS_KEY_BYTES, MAX_GUESSES } from './guesses.ts'
import { isAddress } from '../../store/index.ts'
import { receiptSchema, sealSchema } from './statement.ts'

export const RING_PROTOCOL = '/weft/ring/1'

export const RING = {
  /** Origin to each hop. */
  open: 33,
  /** Hop to origin: the segment is ready. */
  opened: 34,
  /** Origin or hop to the next hop. */
  rows: 35,
  /** Last hop to origin. */
  token: 36,
  taken: 37,
  /** Origin to each hop. */
  close: 38,
  /** Hop to origin: the session has ended here. */
  error: 39,
  /** Origin to a hop that stays, by the block that it begins with: another attempt, over this route. */
  reroute: 40,
  /** Hop to origin: rows of older attempts are fenced; how many rows were taken in. */
  rerouted: 41,
  /** Origin to each hop: send the next hop what was kept, from this row on, and go on. */
  resume: 42,
  /** Hop to origin: the session is well here, but a neighbour cannot be reached; it waits for another route. */
  broken: 43,
  /** Hop to origin: this peer is about to leave, and serves until it has been replaced, or its patience ends. */
  leaving: 44,
  /** Origin to a hop: send kept rows to a shadow too, a hop that is to take the next one's place. */
  feed: 45,
  /** Origin to a hop of an audited session: what came in, or went out, of these rows? */
  account: 46,
  /** Hop to origin: hashes, and what was signed of them; or the rows themselves. */
  accounted: 47,
  /** Hop to origin, that asked for it with its close: when rows came there and went on (spans.ts). */
  traced: 48,
} as const

/** Rows of one frame: a stage that computes them computes nothing for others meanwhile. A prompt's travel by 128 at most. */
export const MAX_FRAME_ROWS = 512

/** Rows of one account: hashes of 32 bytes, or the rows themselves, in one frame. */
export const MAX_ACCOUNT_ROWS = 512

/** Attempts of one session: a frame's field has 16 bits, and a session that needs more is not going anywhere. */
export const MAX_ATTEMPTS = 1_000

/** Hops of a route: far more than is ever sensible; bounds what a peer can make others hold. */
const MAX_HOPS = 256
const MAX_PEER_ID = 128
const block = z.number().int().min(0).max(65_536)
const peerId = z.string().min(1).max(MAX_PEER_ID)

const hopSchema = z.strictObject({ peer: peerId, from: block, to: block })

/** Tokens whose logits a request moves: as many as OpenAI takes. */
export const MAX_BIASES = 300

export const samplerSchema = z.strictObject({
  sampling: z.strictObject({
    temperature: z.number().min(0).max(1000),
    topK: z.number().int().min(0),
    topP: z.number().min(0).max(1),
    minP: z.number().min(0).max(1),
    repetitionPenalty: z.number().min(0.01).max(100),
    presencePenalty: z.number().min(-100).max(100),
    frequencyPenalty: z.number().min(-100).max(100),
    seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
    logitBias: z
      .array(z.tuple([z.number().int().min(0), z.number().min(-1000).max(1000)]).readonly())
      .max(MAX_BIASES)
      .readonly()
      .optional(),
  }),
  logprobs: z.number().int().min(-1).max(64),
  history: tokenIdsSchema,
  generated: tokenIdsSchema.default([]),
  /** The first of the tokens, from this position on, that are given and not chosen. Absent: all are chosen. */
  forced: z
    .strictObject({
      from: z
        .number()
        .int()
        .min(0)
        .max(1 << 24),
      ids: tokenIdsSchema,
    })
    .optional(),
  format: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('json') }),
      z.strictObject({ kind: z.literal('schema'), text: z.string().max(MAX_SCHEMA_TEXT) }),
      z.strictObject({ kind: z.literal('calls'), text: z.string().max(MAX_SCHEMA_TEXT) }),
    ])
    .optional(),
})

const namesSchema = z
  .instanceof(Uint8Array)
  .refine((names) => names.length % NAME_BYTES === 0 && names.length <= MAX_RUNS * NAME_BYTES)

/** Of an adapter: one of rank 64 beside all matrices of a model of 8 billion parameters has 0.7 GB. */
const adapterBytes = z
  .number()
  .int()
  .min(1)
  .max(2 ** 30)

const openSchema = z.strictObject({
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  route: z.array(hopSchema).min(1).max(MAX_HOPS),
  positions: z
    .number()
    .int()
    .min(1)
    .max(1 << 24),
  /** Milliseconds until the session may be freed, whatever happens. */
  deadline: z.number().min(0).max(86_400_000),
  sampler: samplerSchema.nullable(),
  /** It follows the session until a reroute takes it in: nothing is sent on, its origin hears what it has computed. */
  shadow: z.boolean().default(false),
  /** Rows are signed, and refused where they are not: any of them may be computed again. Absent: they are not. */
  audited: z.boolean().optional(),
  /** Names of the runs that the prompt begins with (prefix/names.ts). The hop says how many rows of them it has. */
  prefix: namesSchema.optional(),
  /** For the head: what guesses are sealed with. */
  guesses: z
    .instanceof(Uint8Array)
    .refine((key) => key.length === GUESS_KEY_BYTES)
    .optional(),
  /** Rows of others go first. Absent: they do not. */
  lane: z.literal('batch').optional(),
  /** What stands beside the matrices for this session; the origin has its bytes. Absent: nothing does. */
  adapter: z
    .strictObject({ address: z.string().refine(isAddress, 'not a blob address'), bytes: adapterBytes })
    .optional(),
})

export type RouteOpen = z.infer<typeof openSchema>

const position = z
  .number()
  .int()
  .min(0)
  .max(1 << 24)

const requestNumber = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER)

const rerouteSchema = z.strictObject({
  from: block,
  route: z.array(hopSchema).min(1).max(MAX_HOPS),
  /** Under which the hop is known until now, when it was a shadow. */
  of: requestNumber.optional(),
})
const feedSchema = z.strictObject({
  peer: peerId,
  place: z
    .number()
    .int()
    .min(0)
    .max(MAX_HOPS - 1),
  request: requestNumber,
  from: position,
  to: position,
  /** What follows rows from this one on is wanted; of an audit. Absent: nothing is. */
  tokensFrom: position.optional(),
})
const reroutedSchema = z.object({ taken: position })
const resumeSchema = z.strictObject({
  from: position,
  tokensFrom: position,
  /** Rows from this one on never were. Absent: all that the hop has are. */
  keep: position.optional(),
})
const brokenSchema = z.object({ peer: peerId, why: z.string().max(MAX_TOLD), gone: z.boolean().default(false) })
const closeSchema = z.object({
  from: block.optional(),
  /** The hop says when rows came there and went on. */
  trace: z.boolean().optional(),
  /** Of the runs behind those that were named in the opening. */
  prefix: namesSchema.optional(),
})

export type Reroute = z.infer<typeof rerouteSchema>
/** Rows [from, to) for the hop at a place of another request's route. */
export type Feed = z.infer<typeof feedSchema>
export type Resume = z.infer<typeof resumeSchema>
export type AccountQuery = z.infer<typeof accountSchema>
export type Account = z.infer<typeof accountedSchema>

const tracedSchema = z.strictObject({ now: z.number(), dropped: z.number().int().min(0) })

const openedSchema = z.strictObject({
  pid: z.number().int().min(0),
  /** Rows of the prefix that are there already. */
  prefix: position.optional(),
})
const errorSchema = z.object({
  code: z.string().max(64),
  message: z.string().max(MAX_TOLD),
  why: z.string().max(MAX_TOLD).nullable(),
  hint: z.string().max(MAX_TOLD).nullable(),
  details: z.record(z.string(), z.unknown()),
})
const likelihoodSchema = z.object({
  logprob: z.number().optional(),
  top: z
    .array(z.tuple([z.number().int(), z.number()]))
    .max(64)
    .optional(),
})
const tokenSchema = likelihoodSchema.extend({
  seal: sealSchema.optional(),
  /** Several tokens in the payload, each behind the next row: the row that the first of them follows. */
  first: position.optional(),
  /** The head takes windows that are chained to those under way. Absent: it does not, or none came. */
  chains: z.boolean().optional(),
  /** Of several tokens, each. */
  each: z
    .array(likelihoodSchema)
    .max(MAX_GUESSES + 1)
    .optional(),
})
const accountSchema = z.strictObject({
  /** The hop's first block. */
  block,
  side: z.enum(['taken', 'given', 'rows', 'receipt']),
  position,
  count: z.number().int().min(1).max(MAX_ACCOUNT_ROWS),
})
const accountedSchema = z.object({
  position,
  count: position,
  receipt: receiptSchema.optional(),
  seal: sealSchema.optional(),
})

/** @throws FrameError when the control map is not of its schema. */
function decode<T>(schema: z.ZodType<T>, message: Frame): T {
  const result = schema.safeParse(decodeControl(message.control))
  if (!result.success)
    throw new FrameError('control', `a control map is malformed: ${z.prettifyError(result.error).split('\n')[0]}`)
  return result.data
}

export const decodeOpen = (message: Frame): RouteOpen => decode(openSchema, message)
export const decodeReroute = (message: Frame): Reroute => decode(rerouteSchema, message)
export const decodeRerouted = (message: Frame): z.infer<typeof reroutedSchema> => decode(reroutedSchema, message)
export const decodeResume = (message: Frame): Resume => decode(resumeSchema, message)
export const decodeFeed = (message: Frame): Feed => decode(feedSchema, message)
export const decodeAccount = (message: Frame): AccountQuery => decode(accountSchema, message)
export const decodeAccounted = (message: Frame): Account => decode(accountedSchema, message)
export const decodeTraced = (message: Frame): z.infer<typeof tracedSchema> => decode(tracedSchema, message)
export const decodeBroken = (message: Frame): z.infer<typeof brokenSchema> => decode(brokenSchema, message)
/** Without a control map all of the request's hops at the receiver are closed. */
export const decodeClose = (message: Frame): z.infer<typeof closeSchema> =>
  message.control.length === 0 ? {} : decode(closeSchema, message)
export const decodeOpened = (message: Frame): z.infer<typeof openedSchema> => decode(openedSchema, message)
export const decodeRingError = (message: Frame): z.infer<typeof errorSchema> => decode(errorSchema, message)
export const decodeToken = (message: Frame): z.infer<typeof tokenSchema> => decode(tokenSchema, message)
