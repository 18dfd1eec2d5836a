/** The engine as the judge: every value of a graph is asked for, and its real shape is held against what was inferred. */
import { writeFile } from 'node:fs/promises'
import * as ort from 'onnxruntime-node'
import { expect } from 'vitest'
import { nodeReads, readModel, writeModel } from '../../../../src/onnx/ir/index.ts'
import type { DataType, Model, ValueType } from '../../../../src/onnx/ir/index.ts'
import { dimensionSize, inferShapes } from '../../../../src/onnx/shapes/index.ts'
import type { InferredGraph } from '../../../../src/onnx/shapes/index.ts'

export type Sizes = Readonly<Record<string, number>>

export interface Judged {
  /** Values whose shape was known once the names were bound, and was right. */
  readonly exact: number
  /** Names of values with a size, or more, that nothing was known of. */
  readonly open: readonly string[]
}

/**
 * Infers once with free names, then for each binding of the names runs the graph and compares all tensors that it makes.
 * `elements`: what to feed for inputs that are not simply filled.
 */
export async function judge(
  folder: (name: string) => string,
  model: Model,
  bindings: readonly Sizes[],
  elements: Readonly<Record<string, readonly number[]>> = {},
): Promise<Judged> {
  const whole = withAllOutputs(model)
  const path = folder('judged.onnx')
  await writeModel(whole, path)
  // As a file tells it, so that what is judged is also what was written.
  const read = await readModel(path)
  const session = await ort.InferenceSession.create(path, { graphOptimizationLevel: 'disabled', logSeverityLevel: 4 })
  const named = inferShapes(read)
  const open = new Set<string>()
  let exact = 0
  for (const sizes of bindings) {
    const feeds = feedsOf(read, sizes, elements)
    const results = await session.run(feeds, resultNames(whole, session))
    const shapes = new Map(Object.entries(feeds).map(([name, { dims }]) => [name, dims]))
    const bound = inferShapes(read, { inputs: shapes })
    for (const [name, tensor] of Object.entries(results)) {
      const free = compare(name, named.types.get(name), tensor, sizes)
      const fixed = compare(name, bound.types.get(name), tensor, sizes)
      if (free && fixed) exact++
      else open.add(name)
    }
  }
  await session.release()
  await writeFile(path, '')
  return { exact, open: [...open].sort() }
}

/** That all of it is known, of every value, for every binding. */
export async function expectExact(
  folder: (name: string) => string,
  model: Model,
  bindings: readonly Sizes[],
  elements: Readonly<Record<string, readonly number[]>> = {},
): Promise<InferredGraph> {
  const { exact, open } = await judge(folder, model, bindings, elements)
  expect(open).toEqual([])
  expect(exact).toBeGreaterThanOrEqual(bindings.length)
  return inferShapes(model)
}

/** Whether all of the shape is known; a size that is known and wrong fails the test. */
function compare(name: string, type: ValueType | undefined, tensor: ort.Tensor, sizes: Sizes): boolean {
  if (type === undefined) return false
  if (type.kind !== 'tensor') return expect.fail(`${name} is a tensor`)
  expect(`${name} ${type.type}`).toBe(`${name} ${tensor.type}`)
  if (type.shape === null) return false
  let known = true
  const bound = type.shape.map((size, axis) => {
    let own = true
    const value = dimensionSize(size, (free) => {
      const given = free === null ? undefined : sizes[free]
      if (given === undefined) own = false
      return given ?? 1
    })
    known &&= own
    return own ? value : tensor.dims[axis]
  })
  expect({ name, dims: bound }).toEqual({ name, dims: [...tensor.dims] })
  return known
}

function withAllOutputs(model: Model): Model {
  const declared = new Set(model.graph.outputs.map(({ name }) => name))
  const read = new Set(model.graph.nodes.flatMap((node) => [...nodeReads(node)]))
  const inner = model.graph.nodes
    .flatMap(({ outputs }) => outputs)
    .filter((name) => read.has(name) && !declared.has(name))
  const outputs = [...model.graph.outputs, ...inner.map((name) => ({ name, type: null }))]
  return { ...model, graph: { ...model.graph, outputs: outputs.map(({ name }) => ({ name, type: null })) } }
}

/** Lists and absent values do not come through the binding. */
function resultNames(model: Model, session: ort.InferenceSession): string[] {
  const types = inferShapes(model).types
  return session.outputNames.filter((name) => {
    const kind = types.get(name)?.kind
    return kind === undefined || kind === 'tensor'
  })
}

function feedsOf(
  model: Model,
  sizes: Sizes,
  elements: Readonly<Record<string, readonly number[]>>,
): Record<string, ort.Tensor> {
  const feeds: Record<string, ort.Tensor> = {}
  for (const { name, type } of model.graph.inputs) {
    if (type?.kind !== 'tensor' || type.shape === null || model.graph.initializers.has(name)) continue
    const dims = type.shape.map((size) => (typeof size === 'number' ? size : (sizes[size ?? ''] ?? 1)))
    const count = dims.reduce((product, size) => product * size, 1)
    const given = elements[name]
    feeds[name] = tensorOf(
      type.type,
      dims,
      Array.from({ length: count }, (_, at) => given?.[at] ?? (at % 7) - 3),
    )
  }
  return feeds
}

function tensorOf(type: DataType, dims: readonly number[], values: readonly number[]): ort.Tensor {
  if (type === 'string') return new ort.Tensor('string', values.map(String), dims)
  if (type === 'int64') return new ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims)
  if (type === 'int32') return new ort.Tensor('int32', Int32Array.from(values), dims)
  if (type === 'bool')
    return new ort.Tensor(
      'bool',
      Uint8Array.from(values, (value) => (value > 0 ? 1 : 0)),
      dims,
    )
  if (type === 'uint8') return new ort.Tensor('uint8', Uint8Array.from(values, Math.abs), dims)
  if (type === 'int8') return new ort.Tensor('int8', Int8Array.from(values), dims)
  if (type === 'float64') return new ort.Tensor('float64', Float64Array.from(values), dims)
  return new ort.Tensor('float32', Float32Array.from(values), dims)
}
