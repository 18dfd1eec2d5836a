/**
 * Training over peers (docs/wire.md): the origin opens a session at each stage, begins each step with the adapters of the
 * stage's blocks, and sends micro-batches to the first stage. Rows go on from stage to stage and from the last to the origin, whose
 * head says the loss; gradients of rows come back the same way. Each stage then sends the origin its adapters' gradients.
 */
import * as z from 'zod'
import { ADAPTED_PARTS } from '../../models/index.ts'
import { TrainingRefusedError } from './errors.ts'

export const TRAIN_PROTOCOL = '/weft/train/1'

export const TRAIN = {
  /** Origin to a stage. */
  open: 81,
  /** Back: it is loaded. Control: pid. */
  opened: 82,
  /**
   * Origin to a stage: adapters; step: which. Control: how many micro-batches, whether any goes back, and whether gradients come
   * whole this time.
   */
  begin: 83,
  /** Rows, to the next stage or the origin; step. Control: micro, origin. */
  forward: 84,
  /** Gradients of rows, to the stage before or the origin; step. Control: micro, origin. */
  backward: 85,
  /** A stage to the origin, at the end of a step: gradients of its adapters. */
  gradients: 86,
  close: 87,
  /** Stage to origin; control: ErrorData. The session has ended there. */
  error: 88,
} as const

const MAX_STAGES = 256
/** Of a step. */
const MAX_MICRO = 100_000

const whole = z.number().int().min(0)
const openSchema = z.object({
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  /** The peer of each stage. */
  route: z.array(z.string().min(1).max(128)).min(1).max(MAX_STAGES),
  from: whole.max(65_536),
  to: whole.max(65_536),
  length: z
    .number()
    .int()
    .min(1)
    .max(1 << 20),
  form: z.strictObject({
    parts: z.array(z.enum(ADAPTED_PARTS)).max(ADAPTED_PARTS.length),
    rank: z.number().int().min(1).max(1024),
    scale: z.number(),
  }),
  /** As the stage is to tell the gradients of its adapters. Absent, and to peers of older versions: in float32. */
  gradients: z.literal('int8').optional(),
})
export type TrainOpen = z.infer<typeof openSchema>

const beginSchema = z.object({
  micros: z.number().int().min(1).max(MAX_MICRO),
  back: z.boolean(),
  whole: z.boolean().optional(),
})
export type TrainBegin = z.infer<typeof beginSchema>

const microSchema = z.object({ micro: whole.max(MAX_MICRO), origin: z.string().min(1).max(128) })

/** Of the control map of a message. What it makes @throws TrainingRefusedError */
export function decoder<T>(schema: z.ZodType<T>): (control: Readonly<Record<string, unknown>>) => T {
  return (control) => {
    const parsed = schema.safeParse(control)
    if (parsed.success) return parsed.data
    const issue = parsed.error.issues[0]!
    throw new TrainingRefusedError(`the message is malformed: ${issue.path.join('.')}: ${issue.message}`)
  }
}

/** Both @throws TrainingRefusedError */
export const decodeTrainOpen: (control: Readonly<Record<string, unknown>>) => TrainOpen = decoder(openSchema)
export const decodeTrainBegin: (control: Readonly<Record<string, unknown>>) => TrainBegin = decoder(beginSchema)
/** Undefined: malformed. It may be of no session, so that there is nobody to be told. */
export function decodeMicro(control: Readonly<Record<string, unknown>>): z.infer<typeof microSchema> | undefined {
  return microSchema.safeParse(control).data
}
