/** Pieces of schemas that several routes share. Every number is bounded, every string made well-formed Unicode. */
import { z } from 'zod'
import { MAX_BLOCKS, MAX_NAME_LENGTH, MAX_STAGES, MAX_STOP_LENGTH, MAX_STOPS, MAX_TOKEN_ID } from './limits.ts'

/** JSON may carry lone surrogates; no tokenizer can: they become U+FFFD. */
export const text = z.string().transform((value) => value.toWellFormed())

export const name = z
  .string()
  .min(1)
  .max(MAX_NAME_LENGTH)
  .transform((value) => value.toWellFormed())

export const whole = (least: number, most: number): z.ZodNumber => z.int().min(least).max(most)

export const real = (least: number, most: number): z.ZodNumber => z.number().min(least).max(most)

const stopText = z
  .string()
  .min(1)
  .max(MAX_STOP_LENGTH)
  .transform((value) => value.toWellFormed())

export const stopList = z.array(stopText).max(MAX_STOPS)

export const auditMode = z.enum(['off', 'sample', 'hold'])
export const laneName = z.enum(['interactive', 'batch'])
export const priorityName = z.enum(['high', 'normal', 'low'])
export const speculateMode = z.enum(['auto', 'off', 'lookup', 'draft'])

/** `"x"` or `["x", "y"]`, as a list. The branch is chosen by hand, so that the message names what is wrong in it. */
export const stop = z.preprocess((value) => (typeof value === 'string' ? [value] : value), stopList)

export const tokenIds = z.array(whole(0, MAX_TOKEN_ID))

const stage = z.strictObject({ peer: name, from: whole(0, MAX_BLOCKS), to: whole(1, MAX_BLOCKS) })

const placementFile = z.strictObject({
  model: name,
  stages: z.array(stage).min(1).max(MAX_STAGES),
  /** Held ready for when a stage is lost. */
  replicas: z.array(stage).max(MAX_STAGES).exactOptional(),
})

export { placementFile }

export const placement = z.union([z.enum(['auto', 'local']), placementFile], {
  error: 'expected auto, local, or { model, stages: [{ peer, from, to }] }',
})
