/** Where the first value that is not finite comes from. */
import type { Model } from '../../onnx/index.ts'
import { shown } from '../../onnx/index.ts'
import { openSession } from './sessions.ts'
import type { SessionNeeds } from './sessions.ts'
import type { Tensors } from './stepper.ts'

/** What the names of values of the preprocessing begin with. */
const PREPROCESSED = 'preprocess/'
const FLOATS = new Set(['float32', 'float64'])

/** In words: a parameter, an input, or a node with what it reads. */
export async function firstNotFinite(
  needs: SessionNeeds,
  evaluation: Model,
  parameters: Tensors,
  feeds: Tensors,
): Promise<string> {
  const odd = Object.entries(parameters).find(([, tensor]) => !isFinite(tensor))
  if (odd !== undefined) return `the step before, which made the parameter ${shown(odd[0])}`
  const { graph } = evaluation
  const values = graph.nodes.flatMap(({ outputs }) => outputs.filter((name) => name !== ''))
  const named = new Set(graph.outputs.map(({ name }) => name))
  const outputs = [...graph.outputs, ...values.filter((name) => !named.has(name)).map((name) => ({ name, type: null }))]
  const session = await openSession(needs, 'diagnose', { ...evaluation, graph: { ...graph, outputs } })
  try {
    const results = await session.run({ ...parameters, ...feeds })
    for (const { opType, inputs, outputs: own } of graph.nodes) {
      // A missing value of a table is NaN until the preprocessing has filled it.
      const made = own.filter((name) => name !== '' && !name.startsWith(PREPROCESSED))
      if (made.every((name) => isFinite(results[name]!))) continue
      const reads = inputs.find((name) => name in parameters) ?? inputs[0] ?? ''
      return `${opType} over ${shown(reads)}`
    }
  } finally {
    await session.close()
  }
  return 'the update'
}

export function isFinite({ type, data }: Tensors[string]): boolean {
  if (!FLOATS.has(type)) return true
  const values = data as Float32Array
  for (let at = 0; at < values.length; at++) if (!Number.isFinite(values[at])) return false
  return true
}
