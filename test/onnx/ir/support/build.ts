/** Models made by hand, with as few words as can be. */
import { NO_ENTRIES } from '../../../../src/onnx/ir/index.ts'
import type {
  Attribute,
  DataType,
  Graph,
  Model,
  Node,
  OnnxFunction,
  Shape,
  TensorValue,
  ValueInfo,
} from '../../../../src/onnx/ir/index.ts'

type Attributes = Readonly<Record<string, Attribute>>

export function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Attributes = {},
  more: Partial<Node> = {},
): Node {
  const entries = Object.entries(attributes)
  return {
    name: '',
    opType,
    domain: '',
    overload: '',
    inputs,
    outputs,
    attributes: entries.length === 0 ? NO_ENTRIES : new Map(entries),
    metadata: NO_ENTRIES,
    ...more,
  }
}

export function value(name: string, shape: Shape = [2], type: DataType = 'float32'): ValueInfo {
  return { name, type: { kind: 'tensor', type, shape } }
}

export function graph(parts: Partial<Graph>): Graph {
  return {
    name: 'g',
    nodes: [],
    inputs: [],
    outputs: [],
    initializers: NO_ENTRIES,
    sparseInitializers: NO_ENTRIES,
    values: NO_ENTRIES,
    quantization: NO_ENTRIES,
    metadata: NO_ENTRIES,
    ...parts,
  }
}

export function model(parts: Partial<Graph>, more: Partial<Model> = {}): Model {
  return {
    irVersion: 8,
    opsets: new Map([['', 17]]),
    producer: { name: 'weft', version: '' },
    domain: '',
    modelVersion: 0n,
    graph: graph(parts),
    functions: [],
    metadata: NO_ENTRIES,
    ...more,
  }
}

export function definition(parts: Partial<OnnxFunction> & Pick<OnnxFunction, 'name' | 'nodes'>): OnnxFunction {
  return {
    domain: 'own',
    overload: '',
    inputs: ['a'],
    outputs: ['b'],
    attributes: [],
    defaults: NO_ENTRIES,
    opsets: new Map([
      ['', 17],
      ['own', 1],
    ]),
    values: NO_ENTRIES,
    metadata: NO_ENTRIES,
    ...parts,
  }
}

export function tensor(
  name: string,
  type: DataType,
  dims: readonly number[],
  bytes: ArrayBufferView | readonly number[],
): TensorValue {
  const view = ArrayBuffer.isView(bytes) ? bytes : Uint8Array.from(bytes)
  // A copy: an equal one must have an array of its own.
  const copy = Uint8Array.from(new Uint8Array(view.buffer, view.byteOffset, view.byteLength))
  return { name, type, dims, data: { kind: 'bytes', bytes: copy } }
}

export const floats = (name: string, ...values: number[]): TensorValue =>
  tensor(name, 'float32', [values.length], Float32Array.from(values))

/** A chain of Relu from `x` to `y`. */
export function chain(length: number): Model {
  const at = (index: number): string => (index === 0 ? 'x' : index === length ? 'y' : `v${index}`)
  const nodes = Array.from({ length }, (_, index) => node('Relu', [at(index)], [at(index + 1)]))
  return model({ nodes, inputs: [value('x')], outputs: [value('y')] })
}
