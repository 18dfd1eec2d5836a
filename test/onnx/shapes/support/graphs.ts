/** Graphs of one operator or a few, in as few words as can be. */
import type { Attribute, DataType, Model, Node, TensorValue, ValueInfo } from '../../../../src/onnx/ir/index.ts'
import { model, node, tensor, value } from '../../ir/support/build.ts'

export const MICROSOFT = 'com.microsoft'

/** Numbers are `int`, lists `ints`, texts `string`; fractions are written with `float`. */
export type Attributes = Readonly<Record<string, number | readonly number[] | string | Attribute>>

export function attributesOf(attributes: Attributes): Record<string, Attribute> {
  const entries = Object.entries(attributes).map(([name, plain]): [string, Attribute] => {
    if (typeof plain === 'number') return [name, { kind: 'int', value: BigInt(plain) }]
    if (typeof plain === 'string') return [name, { kind: 'string', value: Uint8Array.from(Buffer.from(plain)) }]
    if ('kind' in plain) return [name, plain]
    return [name, { kind: 'ints', values: plain.map(BigInt) }]
  })
  return Object.fromEntries(entries)
}

export const float = (number: number): Attribute => ({ kind: 'float', value: number })

export function op(opType: string, inputs: string, outputs: string, attributes: Attributes = {}, domain = ''): Node {
  const names = (list: string): string[] =>
    list === '' ? [] : list.split(' ').map((name) => (name === '_' ? '' : name))
  return node(opType, names(inputs), names(outputs), attributesOf(attributes), { domain })
}

export const int64s = (name: string, ...values: readonly number[]): TensorValue =>
  tensor(name, 'int64', [values.length], BigInt64Array.from(values, BigInt))

export const int64 = (name: string, number: number): TensorValue =>
  tensor(name, 'int64', [], BigInt64Array.of(BigInt(number)))

/** Zeros, or what `fill` says, of a shape. */
export function filled(name: string, type: DataType, dims: readonly number[], fill = 0): TensorValue {
  const count = dims.reduce((product, size) => product * size, 1)
  if (type === 'float32') return tensor(name, type, dims, new Float32Array(count).fill(fill))
  if (type === 'int32') return tensor(name, type, dims, new Int32Array(count).fill(fill))
  if (type === 'int64') return tensor(name, type, dims, new BigInt64Array(count).fill(BigInt(fill)))
  return tensor(name, type, dims, new Uint8Array(count).fill(fill))
}

export interface Made {
  readonly inputs: readonly ValueInfo[]
  readonly nodes: readonly Node[]
  readonly constants?: readonly TensorValue[]
  readonly opset?: number
  /** All outputs of the last node where they are left out. */
  readonly outputs?: readonly string[]
}

export function made({ inputs, nodes, constants = [], opset = 17, outputs }: Made): Model {
  const names = outputs ?? nodes.at(-1)!.outputs.filter((name) => name !== '')
  return model(
    {
      nodes,
      inputs,
      outputs: names.map((name) => ({ name, type: null })),
      initializers: new Map(constants.map((constant) => [constant.name, constant])),
    },
    {
      irVersion: opset > 21 ? 10 : 8,
      opsets: new Map([
        ['', opset],
        [MICROSOFT, 1],
        ['ai.onnx.ml', 3],
      ]),
    },
  )
}

export { value }
