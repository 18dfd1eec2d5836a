/**
 * The flow of a graph between peers (docs/wire.md): the origin opens each part at its peer, values go from the peer that
 * makes them to those that read them, results to the origin. All but `close` are messages of named tensors.
 */
import * as z from 'zod'
import { DATA_TYPES, OPTIMIZATION_LEVELS } from '../../../onnx/index.ts'
import { isAddress } from '../../../store/index.ts'
import { samplerSchema } from '../../ring/protocol.ts'
import { FlowRefusedError } from '../errors.ts'
import type { StageRoutes } from '../flow/routes.ts'

export const FLOW_PROTOCOL = '/weft/flow/1'

export const FLOW = {
  /** Origin to the peer of a part; the skeleton is its tensor. */
  open: 65,
  /** Back: the part is loaded. Control: pid. */
  opened: 66,
  /** Origin or a part to a part; step: the unit. */
  values: 67,
  /** A part to the origin; step: the unit. */
  results: 68,
  /** Origin to the peer of a part. */
  close: 69,
  /** Part to origin; control: ErrorData. The part has ended there. */
  error: 70,
} as const

/** The name of the skeleton in the message that opens a part. */
export const SKELETON = 'skeleton'

/** One message: what a unit hands from one part to another. A larger batch has to be cut. */
export const MAX_MESSAGE_BYTES = 2 ** 28
/** Parts of a model: far more than is sensible; bounds what a peer can make others hold. */
const MAX_PARTS = 256
const MAX_NAMES = 4_096
const MAX_NAME = 1_024

const name = z.string().max(MAX_NAME)
const names = z.array(name).max(MAX_NAMES)
const pair = z.tuple([name, name])
const place = z.number().int().min(0).max(MAX_PARTS)
const target = z.union([place, z.literal('origin')])
const sends = z
  .array(z.strictObject({ target, later: z.boolean(), values: z.array(pair).min(1).max(MAX_NAMES) }))
  .max(2 * MAX_PARTS)
const routesSchema = z.strictObject({
  first: names,
  later: names,
  sends,
  last: sends,
  kept: z.array(pair).max(MAX_NAMES),
})
const size = z.number().int().min(0)
const tensorSchema = z.tuple([
  name,
  z.enum(Object.keys(DATA_TYPES) as [string, ...string[]]),
  z.array(size).max(64),
  size,
  z.string().refine(isAddress, 'not a blob address'),
])

const decodeSchema = z.strictObject({
  most: z.number().int().min(0),
  head: z
    .strictObject({
      logits: name,
      sampler: samplerSchema,
      first: size,
      position: z
        .number()
        .int()
        .min(1)
        .max(1 << 24),
    })
    .nullable(),
})

const openSchema = z.object({
  /** Of the model's manifest. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  /** Of the model, that the part has: for people to see. */
  blocks: z.tuple([size, size]).refine(([from, to]) => from < to, 'no blocks'),
  /** The peer of each part. */
  route: z.array(z.string().min(1).max(128)).min(1).max(MAX_PARTS),
  routes: routesSchema,
  /** By input: who may send it. */
  sources: z.array(z.tuple([name, z.array(target).max(MAX_PARTS)])).max(MAX_NAMES),
  /** Weights, in the order in which they get back into the skeleton. */
  weights: z.array(tensorSchema).max(MAX_NAMES),
  optimization: z.enum(OPTIMIZATION_LEVELS),
  units: z
    .number()
    .int()
    .min(1)
    .max(2 ** 31),
  /** Where the units are steps of a decoder. */
  decode: decodeSchema.optional(),
  /** Milliseconds until the part may be freed, whatever happens. */
  deadline: z.number().int().min(1).max(86_400_000),
})

export type StageWeight = readonly [name: string, type: string, dims: readonly number[], bytes: number, address: string]

export interface FlowOpen extends Omit<z.infer<typeof openSchema>, 'routes' | 'weights' | 'sources'> {
  readonly routes: StageRoutes
  readonly weights: readonly StageWeight[]
  readonly sources: readonly (readonly [string, readonly (number | 'origin')[]])[]
}

/** @throws FlowRefusedError */
export function decodeFlowOpen(control: Readonly<Record<string, unknown>>): FlowOpen {
  const parsed = openSchema.safeParse(control)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new FlowRefusedError(`the request is malformed: ${issue.path.join('.')}: ${issue.message}`)
  }
  return parsed.data
}

const partSchema = z.strictObject(
  openSchema.pick({ digest: true, blocks: true, weights: true, optimization: true }).shape,
)

/** What is kept of a part that was opened. @throws ZodError when it is none */
export function decodePart(kept: unknown): Pick<FlowOpen, 'digest' | 'blocks' | 'weights' | 'optimization'> {
  return partSchema.parse(kept)
}

/** The process that computes the part. @throws FlowRefusedError */
export function decodeFlowOpened({ pid }: Readonly<Record<string, unknown>>): number {
  if (typeof pid === 'number' && Number.isSafeInteger(pid) && pid >= 0) return pid
  throw new FlowRefusedError('a part is said to be open in no process')
}
