/** Plans whose model is an ONNX file that each site holds itself: no graph crosses the wire, only what it hashes to. */
import { z } from 'zod'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

const text = z.string().min(1).max(1000)

const fileSchema = z.strictObject({
  kind: z.literal('onnx'),
  /** SHA-256 of the file; where weights lie in others, of it and then those in the order of their names, one after the other. */
  digest: z.string().regex(/^[0-9a-f]{64}$/, 'is the SHA-256 of the file, 64 hex digits'),
  input: text.optional(),
  output: text.optional(),
  /** Parts of names of what is not trained. */
  freeze: z.array(text).max(10_000).optional(),
})

export type FedModelFile = z.output<typeof fileSchema>

/** Undefined where the model is none of a file. */
export function onnxOf({ model }: Pick<FedPlan, 'model'>): FedModelFile | undefined {
  return (model as { readonly kind?: unknown } | null)?.kind === 'onnx' ? (model as FedModelFile) : undefined
}

/** @throws FedPlanError */
export function checkModelFile(plan: FedPlan, where: string): void {
  const file = onnxOf(plan)
  if (file === undefined) return
  const result = fileSchema.safeParse(file)
  if (!result.success) {
    const { path, message } = result.error.issues[0]!
    const why = message.charAt(0).toLowerCase() + message.slice(1)
    throw new FedPlanError(where, ['model', ...path.map(String)].join('.'), why)
  }
  if (plan.init !== undefined) throw new FedPlanError(where, 'init', 'is what a file brings itself')
}
