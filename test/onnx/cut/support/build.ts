/** Models made in a test, node by node, with the types that their values have. */
import type {
  Attribute,
  DataType,
  Graph,
  Model,
  Node,
  Shape,
  TensorValue,
  ValueInfo,
  ValueType,
} from '../../../../src/onnx/ir/index.ts'
import { NO_ENTRIES } from '../../../../src/onnx/ir/index.ts'
import type { CutFacts } from '../../../../src/onnx/cut/index.ts'

export type Attributes = Readonly<Record<string, number | string | readonly number[] | TensorValue | Graph>>

export const tensorType = (type: DataType, shape: Shape): ValueType => ({ kind: 'tensor', type, shape })

export function tensor(name: string, type: DataType, dims: readonly number[], values: ArrayBufferView): TensorValue {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return { name, type, dims, data: { kind: 'bytes', bytes } }
}

export const floats = (name: string, dims: readonly number[], values: readonly number[]): TensorValue =>
  tensor(name, 'float32', dims, Float32Array.from(values))

/** One number, so many times. */
export const filled = (name: string, dims: readonly number[], value: number): TensorValue =>
  floats(
    name,
    dims,
    Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, () => value),
  )

export const int64s = (
  name: string,
  values: readonly number[],
  dims: readonly number[] = [values.length],
): TensorValue => tensor(name, 'int64', dims, BigInt64Array.from(values, BigInt))

function attribute(value: Attributes[string]): Attribute {
  if (typeof value === 'number') {
    return Number.isInteger(value) ? { kind: 'int', value: BigInt(value) } : { kind: 'float', value }
  }
  if (typeof value === 'string') return { kind: 'string', value: Buffer.from(value) }
  if ('nodes' in value) return { kind: 'graph', value }
  if ('data' in value) return { kind: 'tensor', value }
  return { kind: 'ints', values: value.map(BigInt) }
}

let unnamed = 0

export function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Attributes = {},
  domain = '',
): Node {
  return {
    name: `${opType}_${unnamed++}`,
    opType,
    domain,
    overload: '',
    inputs,
    outputs,
    attributes: new Map(Object.entries(attributes).map(([name, value]) => [name, attribute(value)])),
    metadata: NO_ENTRIES,
  }
}

export interface GraphInit {
  readonly nodes: readonly Node[]
  readonly inputs?: Readonly<Record<string, ValueType>>
  readonly outputs: Readonly<Record<string, ValueType>>
  readonly initializers?: readonly TensorValue[]
}

export function graph({ nodes, inputs = {}, outputs, initializers = [] }: GraphInit): Graph {
  const infos = (types: Readonly<Record<string, ValueType>>): ValueInfo[] =>
    Object.entries(types).map(([name, type]) => ({ name, type }))
  return {
    name: 'made',
    nodes,
    inputs: infos(inputs),
    outputs: infos(outputs),
    initializers: new Map(initializers.map((each) => [each.name, each])),
    sparseInitializers: NO_ENTRIES,
    values: NO_ENTRIES,
    quantization: NO_ENTRIES,
    metadata: NO_ENTRIES,
  }
}

export function model(init: GraphInit, more: Partial<Model> = {}): Model {
  return {
    irVersion: 10,
    opsets: new Map([
      ['', 21],
      ['com.microsoft', 1],
    ]),
    producer: { name: 'test', version: '' },
    domain: '',
    modelVersion: 0n,
    graph: graph(init),
    functions: [],
    metadata: NO_ENTRIES,
    ...more,
  }
}

/** Facts for a cut: a microsecond a node, free dimensions of 1. */
export function facts(
  types: Iterable<readonly [string, ValueType]>,
  seconds: (node: number) => number = () => 1e-6,
): CutFacts {
  const known = new Map(types)
  const bytes = (name: string): number => {
    const type = known.get(name)
    if (type?.kind !== 'tensor' || type.shape === null) return 8
    const width = type.type === 'int64' ? 8 : type.type === 'uint8' || type.type === 'int8' ? 1 : 4
    return type.shape.reduce<number>((product, size) => product * (typeof size === 'number' ? size : 1), width)
  }
  return { types: known, seconds, bytes, leastBytes: bytes }
}
