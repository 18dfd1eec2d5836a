/**
 * What a peer is told of a run whose gradients it computes: enough of plan and data to make the graph by itself, and nothing
 * else. No graph, no code, no path and no name of the data crosses; the same text gives the same graph everywhere.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { Model, Tensor } from '../../onnx/index.ts'
import { canonicalJson, parseJsonText } from '../../util/index.ts'
import type { Checkpointing } from '../autodiff/types.ts'
import { GradientTaskError } from '../errors.ts'
import { buildForward } from '../graph/forward.ts'
import type { ExampleForm, Forward } from '../graph/forward.ts'
import { dimsOf, gradientGraph } from '../graph/step.ts'
import { LOSSES_OF } from '../losses/default.ts'
import { planSchema } from '../plan/schema.ts'
import type { GraphPlan } from '../plan/schema.ts'

/** Some 60,000 features with a few values each. */
const MAX_TASK_BYTES = 4 * 2 ** 20
const MAX_SIZE = 2 ** 31 - 1

const size = z.int().min(1).max(MAX_SIZE)
const number = z.number()
const types = Object.keys(TENSOR_ARRAYS) as [Tensor['type'], ...Tensor['type'][]]

const feature = z.strictObject({
  kind: z.enum(['standard', 'raw', 'one-hot', 'id']),
  mean: number,
  sd: number,
  divisor: number,
  values: z.array(number).max(10_000),
  /** How many of them have a number of their own: what they are called stays at home. */
  names: z.strictObject({ length: z.int().min(0).max(MAX_SIZE) }),
})

const { task, model, loss } = planSchema.shape

const taskSchema = z.strictObject({
  schema: z.literal('weft.gradient-task/1'),
  task,
  model,
  loss,
  input: z.strictObject({ type: z.enum(types), dims: z.array(size).max(8) }),
  outputs: size,
  length: size,
  features: z.array(feature).min(1).max(65_536).optional(),
  /** Bytes that kept activations may take, and of how many examples: as the run itself would cut the graph. */
  activations: z.strictObject({ bytes: z.number().min(0), batch: size }).optional(),
})

export type GradientTask = z.output<typeof taskSchema>

/** @param activations as the graph of one process has them */
export function gradientTaskOf(
  plan: GraphPlan,
  { input, outputs, length, features }: ExampleForm,
  activations?: Checkpointing,
): GradientTask {
  return {
    schema: 'weft.gradient-task/1',
    task: plan.task,
    model: plan.model,
    loss: plan.loss,
    input: { type: input.type, dims: [...input.dims] },
    outputs,
    length,
    features: features?.map(({ kind, mean, sd, divisor, values, names }) => {
      return { kind, mean, sd, divisor, values: [...values], names: { length: names.length } }
    }),
    activations: activations && { bytes: activations.bytes, batch: activations.sizes?.get('batch') ?? 1 },
  }
}

/** As it crosses, and what it is known by: SHA-256 in hexadecimal. */
export function gradientTaskText(of: GradientTask): { readonly bytes: Uint8Array; readonly digest: string } {
  const bytes = new TextEncoder().encode(canonicalJson(of))
  return { bytes, digest: gradientTaskDigest(bytes) }
}

export function gradientTaskDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** @throws GradientTaskError */
export function readGradientTask(bytes: Uint8Array): GradientTask {
  if (bytes.length > MAX_TASK_BYTES) {
    throw new GradientTaskError(`it has ${bytes.length} bytes, and ${MAX_TASK_BYTES} are the most`)
  }
  let value: unknown
  try {
    value = parseJsonText(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new GradientTaskError('it is no JSON')
  }
  const parsed = taskSchema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new GradientTaskError(`${issue.path.map(String).join('.').slice(0, 200)}: ${issue.message.slice(0, 200)}`)
  }
  checkTask(parsed.data)
  return parsed.data
}

/** What only somebody who has the files could make a graph of. @throws GradientTaskError */
export function checkTask({ task: kind, model: form, loss: spec }: GraphPlan): void {
  if (form.kind === 'onnx') throw new GradientTaskError('a model file stays where it is')
  if (form.kind === 'base') throw new GradientTaskError('an adapter is trained over a placement of its model')
  if (spec === undefined) return
  if (spec.kind === 'distillation') throw new GradientTaskError("a teacher's file stays where it is")
  if (!LOSSES_OF[kind].includes(spec.kind)) throw new GradientTaskError(`${spec.kind} is no loss of ${kind}`)
}

export interface GradientGraph {
  /** Batch, parameters, sums in; loss, sums with this batch's part of the gradient out. */
  readonly model: Model
  readonly parameters: readonly ParameterForm[]
}

export interface ParameterForm {
  readonly name: string
  readonly dims: readonly number[]
}

/**
 * The graph of a task. Values stand in no graph, so the ones that the model is built with are zeros.
 * @param most numbers that the parameters may have together
 * @throws GradientTaskError, TrainedModelError, NoGradientRuleError
 */
export function gradientGraphOf(of: GradientTask, most: number): GradientGraph {
  const plan: GraphPlan = { task: of.task, model: of.model, loss: of.loss, init: 'zeros' }
  const forward = built(plan, of)
  const parameters = formsOf(forward)
  const count = elementsOf(parameters)
  if (count > most) throw new GradientTaskError(`the model has ${count} parameters, and ${most} were said`)
  const sizes = new Map([
    ['batch', of.activations?.batch ?? 1],
    ['length', of.length],
  ])
  return { model: gradientGraph(plan, forward, of.activations && { bytes: of.activations.bytes, sizes }), parameters }
}

function built(plan: GraphPlan, of: GradientTask): Forward {
  try {
    return buildForward(plan, of, 0, true)
  } catch (error) {
    // Of an array that no memory holds: what was said of the model is not so.
    if (error instanceof RangeError) throw new GradientTaskError(`the model is too large: ${error.message}`)
    throw error
  }
}

export function formsOf({ model: graph, parameters }: Forward): readonly ParameterForm[] {
  return parameters.map((name) => ({ name, dims: dimsOf(graph, name) }))
}

/** Numbers of all of them. */
export function elementsOf(forms: readonly ParameterForm[]): number {
  return forms.reduce((sum, { dims }) => sum + dims.reduce((product, each) => product * each, 1), 0)
}
