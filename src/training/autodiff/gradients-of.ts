/** Gradients of a model in a file for inputs in a file: made, run once, and written. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readNpz, writeNpz } from '../../data/index.ts'
import { halvesToFloats } from '../../models/index.ts'
import { checkModel, createOrtEngine, inlineFunctions, readModel, writeModel } from '../../onnx/index.ts'
import type { AnyTensor, Model, Tensor } from '../../onnx/index.ts'
import { decided } from './decided.ts'
import { differentiate } from './differentiate.ts'
import { LossNotScalarError } from './errors.ts'
import { feedsOf } from './feeds.ts'
import { readSmall } from './read-small.ts'

export interface GradientsRequest {
  /** Absolute paths: an ONNX file, its inputs by name, and where the gradients go. */
  readonly model: string
  readonly inputs: string
  readonly out: string
  readonly loss: string
}

export interface GradientsResult {
  readonly loss: number
  readonly gradients: readonly { readonly name: string; readonly type: string; readonly shape: readonly number[] }[]
}

/** Of these many elements an input is data, and chooses nothing. */
const FEW_ELEMENTS = 64

/**
 * One array for each float initializer, under its name, with its shape and type. Whole or not at all.
 * @throws what `differentiate`, reading and writing throw, FeedError, EngineError
 */
export async function writeGradients(request: GradientsRequest, signal?: AbortSignal): Promise<GradientsResult> {
  const model = await readModel(request.model)
  const arrays = await readNpz(request.inputs, signal)
  const { loss, gradients } = await gradientsOf(model, arrays, request.loss, signal)
  await writeNpz(request.out, gradients)
  const list = [...gradients].map(([name, { type, dims }]) => ({ name, type, shape: dims }))
  return { loss, gradients: list }
}

/** Of the loss, for one set of inputs; arrays that are no inputs are not used. */
export async function gradientsOf(
  model: Model,
  arrays: ReadonlyMap<string, AnyTensor>,
  loss: string,
  signal?: AbortSignal,
): Promise<{ readonly loss: number; readonly gradients: ReadonlyMap<string, AnyTensor> }> {
  const feeds = feedsOf(model.graph, arrays)
  const folder = await mkdtemp(join(tmpdir(), 'weft-gradient-'))
  let runs = 0
  const run = async (made: Model, fetches: readonly string[]): Promise<Readonly<Record<string, AnyTensor>>> => {
    const path = join(folder, `${runs++}.onnx`)
    await writeModel(made, path)
    signal?.throwIfAborted()
    const graph = await createOrtEngine().load(path, { threads: 1, optimization: 'off' })
    try {
      return await graph.runAny(Object.fromEntries(feeds), fetches)
    } finally {
      await graph.release()
    }
  }
  try {
    const checked = inlineFunctions(checkModel(withoutDefaults(model)))
    const fixed = await decided(checked, (asked, names) => run(withOutputs(asked, names), names))
    // A graph is the same with more outputs: the loss may be a value in between.
    const options = { loss, ...chosenBy(feeds), read: readSmall }
    const made = differentiate(withOutputs(fixed, [loss]), options)
    const results = await run(made.model, [loss, ...made.gradients.values()])
    const value = results[loss]! as Tensor
    if (value.data.length !== 1) throw new LossNotScalarError(loss, value.dims)
    const gradients = new Map([...made.gradients].map(([name, output]) => [name, results[output]!]))
    return { loss: numberOf(value), gradients }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Its only element. */
function numberOf({ type, data }: Tensor): number {
  const bits = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return type === 'float16' ? halvesToFloats(bits)[0]! : Number(data[0])
}

/** The engine takes no other values for initializers that are inputs too: they are constants. */
function withoutDefaults(model: Model): Model {
  const { graph } = model
  return { ...model, graph: { ...graph, inputs: graph.inputs.filter(({ name }) => !graph.initializers.has(name)) } }
}

/** The engine hands out outputs only. */
function withOutputs(model: Model, names: readonly string[]): Model {
  const { graph } = model
  const there = new Set(graph.outputs.map(({ name }) => name))
  const made = new Set(graph.nodes.flatMap(({ outputs }) => outputs))
  const added = names.filter((name) => made.has(name) && !there.has(name))
  const outputs = [...graph.outputs, ...added.map((name) => ({ name, type: null }))]
  return added.length === 0 ? model : { ...model, graph: { ...graph, outputs } }
}

/** The graph is run once: its shapes and its small whole numbers are what they are. */
function chosenBy(feeds: ReadonlyMap<string, AnyTensor>): {
  readonly inputs: ReadonlyMap<string, readonly number[]>
  readonly elements: ReadonlyMap<string, readonly number[]>
} {
  const inputs = new Map([...feeds].map(([name, { dims }]) => [name, dims]))
  const elements = new Map<string, readonly number[]>()
  for (const [name, { type, data }] of feeds) {
    if (type === 'string' || type.startsWith('float') || data.length > FEW_ELEMENTS) continue
    elements.set(name, Array.from(data as Iterable<number | bigint>, Number))
  }
  return { inputs, elements }
}
