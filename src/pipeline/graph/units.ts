/** How a request is cut into units: the whole at once, a stream of frames, or micro-batches. */
import { TENSOR_ARRAYS, shown } from '../../onnx/index.ts'
import type { AnyTensor, PlannedValue } from '../../onnx/index.ts'
import { GraphRequestError } from './errors.ts'
import type { FlowUnits } from './flow/origin.ts'
import { frameOf, joinTensors, sliceTensor, stackTensors } from './flow/axes.ts'
import type { KeptPair } from './host/protocol.ts'
import { checkNames, checkShapes, checkTypes, fits, isFree, misfit } from './inputs.ts'
import type { BatchAxes, PreparedGraph } from './prepare/types.ts'
import type { Tensors } from './tensors.ts'

export interface Units extends FlowUnits {
  readonly kind: 'whole' | 'frames' | 'micro-batches'
  /** The results of all units as one. @throws GraphOutputError */
  join(results: readonly Tensors[]): Tensors
}

export interface FrameRequest {
  readonly carries: readonly KeptPair[]
  /** Axis along which arrays hold one frame after another, where they have no axis of frames in front. */
  readonly axis: number | undefined
}

/** @throws GraphInputError */
export function wholeUnits({ inputs }: PreparedGraph, given: Tensors): Units {
  checkNames(inputs, given, new Set())
  checkTypes(inputs, given)
  checkShapes(inputs, given)
  return { kind: 'whole', count: 1, feeds: () => given, join: (results) => results[0]! }
}

interface Stream {
  readonly tensor: AnyTensor
  /** Null: an axis of frames in front, which a frame has not. */
  readonly axis: number | null
  /** Of a frame along the axis. */
  readonly size: number
  readonly count: number
}

/** @throws GraphInputError, GraphRequestError */
export function frameUnits(graph: PreparedGraph, given: Tensors, { carries, axis }: FrameRequest): Units {
  const { inputs } = graph
  const carried = new Map(carries.map(([output, input]) => [input, output]))
  checkNames(inputs, given, new Set(carried.keys()))
  checkTypes(inputs, given)
  const constants = new Map<string, AnyTensor>()
  const streams = new Map<string, Stream>()
  for (const input of inputs) {
    const tensor = given.get(input.name) ?? zeros(input)
    const stream = carried.has(input.name) ? null : streamOf(input, tensor, axis)
    if (stream !== null) streams.set(input.name, stream)
    else if (fits(input.shape, tensor.dims)) constants.set(input.name, tensor)
    else throw misfit(inputs, input.name, tensor, ', which is neither one frame nor several')
  }
  const count = countOf(streams, axis)
  const states = new Set(carries.map(([output]) => output))
  return {
    kind: 'frames',
    count,
    feeds: (unit) =>
      new Map([...constants, ...[...streams].map(([name, stream]) => [name, frameAt(stream, unit)] as const)]),
    join: (results) =>
      joinFrames(results, states, [...streams.values()].find((stream) => stream.axis !== null)?.axis ?? null),
  }
}

function streamOf({ shape }: PlannedValue, tensor: AnyTensor, axis: number | undefined): Stream | null {
  const { dims } = tensor
  if (shape === null || fits(shape, dims)) {
    // It may be one frame whose size is free, or several that lie along that axis.
    const isFreeAxis = axis !== undefined && shape !== null && axis < shape.length && isFree(shape[axis]!)
    return isFreeAxis && dims[axis]! > 1 ? { tensor, axis, size: 1, count: dims[axis]! } : null
  }
  if (dims.length === shape.length + 1 && fits(shape, dims.slice(1))) {
    return { tensor, axis: null, size: 1, count: dims[0]! }
  }
  const size = axis === undefined ? undefined : shape[axis]
  if (axis === undefined || typeof size !== 'number' || size < 1 || dims.length !== shape.length) return null
  if (dims[axis]! % size !== 0 || !fits(shape, dims.with(axis, size))) return null
  return { tensor, axis, size, count: dims[axis]! / size }
}

function frameAt({ tensor, axis, size }: Stream, unit: number): AnyTensor {
  return axis === null ? frameOf(tensor, unit) : sliceTensor(tensor, axis, unit * size, (unit + 1) * size)
}

function countOf(streams: ReadonlyMap<string, Stream>, axis: number | undefined): number {
  const counts = new Set([...streams.values()].map(({ count }) => count))
  if (counts.size > 1) {
    const each = [...streams].map(([name, { count }]) => `${count} of ${shown(name)}`).join(', ')
    throw new GraphRequestError(`inputs have different numbers of frames: ${each}`)
  }
  const [count] = counts
  if (count === undefined && axis !== undefined) {
    throw new GraphRequestError(`no input holds several frames along axis ${axis}, or has an axis of frames in front`)
  }
  return count ?? 1
}

/** State begins with zeros where its shape is fixed. @throws GraphRequestError */
function zeros({ name, type, shape }: PlannedValue): AnyTensor {
  if (shape === null || shape.some(isFree) || type === 'string' || !Object.hasOwn(TENSOR_ARRAYS, type)) {
    throw new GraphRequestError(`${shown(name)} has no fixed shape to begin with zeros: give its first value`, { name })
  }
  const dims = shape as readonly number[]
  const Numbers = TENSOR_ARRAYS[type as keyof typeof TENSOR_ARRAYS]
  const count = dims.reduce((product, size) => product * size, 1)
  return { type: type as keyof typeof TENSOR_ARRAYS, dims, data: new Numbers(count) }
}

function joinFrames(results: readonly Tensors[], states: ReadonlySet<string>, axis: number | null): Tensors {
  const last = results.at(-1)
  const joined = new Map<string, AnyTensor>()
  for (const [name, tensor] of last ?? []) {
    const all = results.map((result) => result.get(name)!)
    if (states.has(name)) joined.set(name, tensor)
    else if (axis !== null && tensor.dims.length > axis) joined.set(name, joinTensors(name, all, axis))
    else joined.set(name, stackTensors(name, all))
  }
  return joined
}

/** Rows of each unit along the batch axes: equal ones, and what is left. */
export function batchUnits(axes: BatchAxes, given: Tensors, rows: number, size: number): Units {
  const count = Math.ceil(rows / size)
  const end = (unit: number): number => Math.min(rows, (unit + 1) * size)
  return {
    kind: 'micro-batches',
    count,
    feeds: (unit) => rowsOf(axes, given, [[unit * size, end(unit)]]),
    join: (results) => joinRows(axes, results),
  }
}

/** Ranges of rows of all inputs that have the batch dimension, one behind the other. */
export function rowsOf(axes: BatchAxes, given: Tensors, ranges: readonly (readonly [number, number])[]): Tensors {
  return new Map(
    [...given].map(([name, tensor]) => {
      if (!Object.hasOwn(axes.inputs, name)) return [name, tensor]
      const axis = axes.inputs[name]!
      return [
        name,
        joinTensors(
          name,
          ranges.map(([from, to]) => sliceTensor(tensor, axis, from, to)),
          axis,
        ),
      ]
    }),
  )
}

export function joinRows(axes: BatchAxes, results: readonly Tensors[]): Tensors {
  const names = [...results[0]!.keys()]
  return new Map(
    names.map((name) => [
      name,
      joinTensors(
        name,
        results.map((each) => each.get(name)!),
        axes.outputs[name]!,
      ),
    ]),
  )
}

/**
 * Rows that the inputs have in the batch dimension. @throws GraphInputError when they do not agree
 */
export function rowCount({ inputs }: PreparedGraph, axes: BatchAxes, given: Tensors): number {
  let rows: number | undefined
  for (const [name, axis] of Object.entries(axes.inputs)) {
    const tensor = given.get(name)!
    rows ??= tensor.dims[axis]!
    if (tensor.dims[axis] !== rows) throw misfit(inputs, name, tensor, `, and another input has ${rows} rows`)
  }
  return rows ?? 0
}

/** For a model whose batch is fixed: inputs that hold several of it along their first axis. */
export function fixedBatch({ inputs, outputs }: PreparedGraph, given: Tensors, size: number): BatchAxes | null {
  const batched = inputs.filter(({ name, shape }) => {
    const dims = given.get(name)?.dims
    return (
      shape?.[0] === size &&
      dims !== undefined &&
      dims[0]! > size &&
      dims[0]! % size === 0 &&
      fits(shape, dims.with(0, size))
    )
  })
  if (batched.length === 0 || outputs.some(({ shape }) => shape?.[0] !== size)) return null
  return {
    dimension: String(size),
    inputs: Object.fromEntries(batched.map(({ name }) => [name, 0])),
    outputs: Object.fromEntries(outputs.map(({ name }) => [name, 0])),
  }
}
