/** A trained model as a file has it, and back. */
import type { Model, Tensor } from '../../onnx/index.ts'
import { FIELD } from '../data/index.ts'
import { TrainedModelError } from '../errors.ts'
import { OUTPUT } from './names.ts'
import type { Forward } from './forward.ts'

/** Entry of the model's metadata: what an evaluation has to know beside the graph. */
const ENTRY = 'weft.training'

/** The model with these values in place of those that it began with. */
export function trainedModel({ model, inputs, outputs }: Forward, parameters: Readonly<Record<string, Tensor>>): Model {
  const initializers = new Map(model.graph.initializers)
  for (const [name, { dims, data }] of Object.entries(parameters)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    initializers.set(name, { name, type: 'float32', dims, data: { kind: 'bytes', bytes } })
  }
  const metadata = new Map([...model.metadata, [ENTRY, JSON.stringify({ inputs, outputs })]])
  return { ...model, metadata, graph: { ...model.graph, initializers } }
}

export function isTrainedHere({ graph, metadata }: Model): boolean {
  const isOurs =
    graph.inputs.some(({ name }) => name === FIELD.input) && graph.outputs.some(({ name }) => name === OUTPUT.scores)
  return isOurs && entryOf(metadata.get(ENTRY)) !== undefined
}

/** Nothing of it is trained any more. @throws TrainedModelError when the model is none that was trained here */
export function forwardOf(model: Model): Forward {
  const entry = entryOf(model.metadata.get(ENTRY))
  if (!isTrainedHere(model) || entry === undefined) throw new TrainedModelError('it was not made by weft train')
  return { model, parameters: [], ...entry }
}

function entryOf(text: string | undefined): { readonly inputs: string; readonly outputs: number } | undefined {
  try {
    const { inputs, outputs } = JSON.parse(text ?? '') as { inputs?: unknown; outputs?: unknown }
    return typeof inputs === 'string' && typeof outputs === 'number' ? { inputs, outputs } : undefined
  } catch {
    return undefined
  }
}
