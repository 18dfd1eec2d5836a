/** Plans that train an adapter beside a language model which stays as it is: what they have in place of columns. */
import { z } from 'zod'
import { ADAPTED_PARTS } from '../../models/index.ts'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

const model = z.strictObject({
  kind: z.literal('base'),
  /** As the mesh names it; what it is, the digest says. */
  name: z.string().min(1).max(200),
  /** Of its manifest: who holds another model of this name takes no part. */
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'is the digest of a manifest, 64 hex digits: weft fed new --lora writes it'),
  /** Tokens of a window of text, which is what counts as a record. */
  length: z.int().min(2).max(65_536),
})

export const fedAdapterSchema = z.strictObject({
  kind: z.literal('lora'),
  rank: z.int().min(1).max(256).optional(),
  alpha: z.number().positive().optional(),
  targets: z.array(z.enum(ADAPTED_PARTS)).min(1).max(ADAPTED_PARTS.length).optional(),
  /**
   * `b`: A stays as it was drawn, the same at all sites, so that the mean of the sites' B is the mean of their products, which the mean of both
   * factors is not (Sun et al., arXiv 2403.12313). @default "both"
   */
  train: z.enum(['both', 'b']).optional(),
})

export type FedBase = z.output<typeof model>

/** An adapter of a language model; a decoder of bytes is a model of its own. */
export function isLanguage({ task, model: spec }: Pick<FedPlan, 'task' | 'model'>): boolean {
  return task === 'language' && (spec as { readonly kind?: unknown } | null)?.kind !== 'decoder'
}

/** The base model of a plan that `isLanguage`, which `checkLanguage` has seen. */
export function baseOf(plan: FedPlan): FedBase {
  return plan.model as FedBase
}

const NONE = ['target', 'features', 'input', 'classes', 'init'] as const

/** @throws FedPlanError */
export function checkLanguage(plan: FedPlan, where: string): void {
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  for (const field of NONE) if (plan[field] !== undefined) throw wrong(field, 'is nothing that a language model has')
  const result = model.safeParse(plan.model)
  if (!result.success) {
    const { path, message } = result.error.issues[0]!
    throw wrong(['model', ...path.map(String)].join('.'), message.charAt(0).toLowerCase() + message.slice(1))
  }
  if (typeof plan.local.batch !== 'number') {
    throw wrong('local.batch', 'is a number of windows: all of a text at once are too many for a step')
  }
  if (plan.personal !== undefined && plan.adapter?.train === 'b') {
    throw wrong('personal', 'does not go with an adapter of which only B is trained')
  }
}

/** The parts of the plan of training. */
export function languageParts(plan: FedPlan): object {
  const { train: _, ...adapter } = plan.adapter ?? { kind: 'lora' as const }
  return { model: { kind: 'base', name: baseOf(plan).name }, adapter }
}
