/** What a home keeps of a roll-out: which round of a federation answers under a name, and which is being tried. */
import { z } from 'zod'

const whole = z.int().min(0)
const share = z.number().min(0).max(1)

const version = z.strictObject({
  /** Under which it lies in the home. */
  name: z.string().max(128),
  job: z.string().max(64),
  round: whole,
  /** On the held-out records of this site; null: it has none. */
  loss: z.number().nullable(),
  at: z.iso.datetime(),
})

/** Requests that have ended, and those of them that failed by no fault of who asked. */
const tally = z.strictObject({ served: whole, failed: whole })

const candidate = version.extend({ tried: tally, beside: tally })

const step = z.strictObject({
  at: z.iso.datetime(),
  step: z.enum(['begin', 'candidate', 'promote', 'back', 'end']),
  round: whole.nullable(),
  why: z.string().max(300),
})

export const rolloutSpec = z.strictObject({
  /** Share of the requests that a candidate gets. */
  canary: share,
  /** Of them so many have to end before it is promoted; 0: the loss alone decides. */
  requests: z.int().min(0).max(1_000_000),
  /** Each round of so many is tried, and the last. */
  every: z.int().min(1).max(100_000),
  /** By so much the loss of a candidate may be above that of what serves. */
  margin: z.number().min(0).max(1000),
  /** By so much its share of failed requests may be above that of what serves. */
  tolerance: share,
})

export const recordSchema = z.strictObject({
  schema: z.literal('weft.rollout/1'),
  model: z.string().max(128),
  /** `clinic@live` */
  alias: z.string().max(64),
  job: z.string().max(64),
  spec: rolloutSpec,
  /** Null: the model as it was before any round. */
  live: version.nullable(),
  previous: version.nullable(),
  candidate: candidate.nullable(),
  /** Rounds up to this one of the job have had their trial. */
  seen: whole,
  /** Rounds of the job are tried no more; what is live goes on. */
  ended: z.boolean(),
  /** The last ones. */
  steps: z.array(step).max(200),
})

export type RolloutSpec = z.output<typeof rolloutSpec>
export type RolloutRecord = z.output<typeof recordSchema>
export type Version = z.output<typeof version>
export type Candidate = z.output<typeof candidate>
export type RolloutStep = z.output<typeof step>

export const DEFAULT_SPEC: RolloutSpec = { canary: 0.1, requests: 20, every: 1, margin: 0, tolerance: 0.05 }

/** Told apart from an adapter's name by its `@`. */
export const ALIAS = /^[a-z0-9][a-z0-9._-]{0,31}@[a-z0-9][a-z0-9._-]{0,15}$/

const MOST_STEPS = 200

export function withStep(record: RolloutRecord, step: RolloutStep): RolloutRecord {
  return { ...record, steps: [...record.steps, step].slice(-MOST_STEPS) }
}

/** As people and programs see it. */
export function shown(record: RolloutRecord): object {
  const { model, alias, schema: _, ...rest } = record
  const as = model === '' ? alias : `${model}:${alias}`
  return { schema: 'weft.fed-rollout/1', as, model, alias, ...rest }
}

/** Without what was left out. */
export function defined(given: {
  readonly [Name in keyof RolloutSpec]?: RolloutSpec[Name] | undefined
}): Partial<RolloutSpec> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}
