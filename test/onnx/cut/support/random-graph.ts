/** Random graphs with everything that makes cutting hard, from a seed; the engine runs all of them. */
import type { Model, Node, TensorValue, ValueType } from '../../../../src/onnx/ir/index.ts'
import { floats, graph, int64s, model, node, tensor, tensorType } from './build.ts'

export interface RandomGraph {
  readonly model: Model
  readonly types: ReadonlyMap<string, ValueType>
}

const WIDTH = 8
const ROWS = tensorType('float32', ['rows', WIDTH])
const QUANTS = tensorType('uint8', ['rows', WIDTH])

/** @param pick a whole number in [0, below) */
export function randomGraph(pick: (below: number) => number, count: number): RandomGraph {
  const nodes: Node[] = []
  const types = new Map<string, ValueType>()
  const initializers: TensorValue[] = []
  const values: string[] = []
  const outputs: Record<string, ValueType> = {}
  const inputs: Record<string, ValueType> = { 'in 0': ROWS, '1': ROWS, late: ROWS }
  for (const name of Object.keys(inputs)) types.set(name, ROWS)
  let next = 0
  const add = (opType: string, reads: readonly string[], type: ValueType, attributes = {}, domain = ''): string => {
    const name = `v${next++}`
    nodes.push(node(opType, reads, [name], attributes, domain))
    types.set(name, type)
    return name
  }
  const matrix = (): string => {
    const name = `w${initializers.length}`
    initializers.push(
      floats(
        name,
        [WIDTH, WIDTH],
        Array.from({ length: WIDTH * WIDTH }, () => (pick(200) - 100) / 300),
      ),
    )
    return name
  }
  const scalar = (value: number): string => {
    const name = `s${initializers.length}`
    initializers.push(floats(name, [], [value]))
    return name
  }
  // Mostly recent values, so that there are chains, and now and then an old one, so that there are skips.
  const any = (): string => {
    if (values.length === 0 || pick(12) === 0) return pick(2) === 0 ? 'in 0' : '1'
    return pick(5) === 0 ? values[pick(values.length)]! : values[Math.max(0, values.length - 1 - pick(3))]!
  }
  // A weight that two far nodes share, and weight preparation at the head of the list.
  const shared = matrix()
  const prepared = add('Transpose', [shared], tensorType('float32', [WIDTH, WIDTH]), { perm: [1, 0] })
  const makers: readonly (() => string)[] = [
    () => add('Relu', [any()], ROWS),
    () => add('Sigmoid', [any()], ROWS),
    () => add('Add', [any(), any()], ROWS),
    () => add('Mul', [any(), any()], ROWS),
    () => add('Sub', [any(), 'late'], ROWS),
    () => add('MatMul', [any(), pick(2) === 0 ? prepared : matrix()], ROWS),
    () => add('Gemm', [any(), shared], ROWS, { transB: 1 }),
    () => add('Clip', [any(), '', scalar(0.9)], ROWS),
    () => add('Softmax', [any()], ROWS, { axis: -1 }),
    () => {
      const shape = add('Shape', [any()], tensorType('int64', [2]))
      const zeros = add('ConstantOfShape', [shape], ROWS, { value: floats('', [1], [0.25]) })
      return add('Add', [any(), zeros], ROWS)
    },
    () => {
      const shape = add('Shape', [any()], tensorType('int64', [2]))
      const flat = add('Reshape', [any(), minusOne()], tensorType('float32', [null]))
      return add('Reshape', [flat, shape], ROWS)
    },
    () => {
      const zero = `z${initializers.length}`
      initializers.push(tensor(zero, 'uint8', [], Uint8Array.of(128)))
      const scale = scalar(1 / 64)
      const quants = add('QuantizeLinear', [any(), scale, zero], QUANTS)
      return add('DequantizeLinear', [quants, scale, zero], ROWS)
    },
    () => {
      const [left, right] = [`v${next++}`, `v${next++}`]
      nodes.push(node('Split', [any()], [left, right], { axis: 1, num_outputs: 2 }))
      for (const half of [left, right]) types.set(half, tensorType('float32', ['rows', WIDTH / 2]))
      return add('Concat', [right, left], ROWS, { axis: 1 })
    },
    () => {
      // Not what a DequantizeLinear gives, moved on: over its capture the engine's optimizer (1.30) ends the process.
      const captured = add('Relu', [any()], ROWS)
      const branch = (opType: string) =>
        graph({ nodes: [node(opType, [captured], [`b${next}`])], outputs: { [`b${next++}`]: ROWS } })
      const sum = add('ReduceSum', [any(), ''], tensorType('float32', []), { keepdims: 0 })
      const condition = add('Greater', [sum, scalar(0)], tensorType('bool', []))
      return add('If', [condition], ROWS, { then_branch: branch('Neg'), else_branch: branch('Abs') })
    },
  ]
  const minusOne = (): string => {
    const name = `i${initializers.length}`
    initializers.push(int64s(name, [-1]))
    return name
  }
  for (let made = 0; made < count; made++) {
    const value = makers[pick(makers.length)]!()
    values.push(value)
    if (pick(10) === 0) outputs[value] = ROWS
  }
  const end = add('Add', [values.at(-1)!, 'late'], ROWS)
  outputs[end] = ROWS
  return { model: model({ nodes, inputs, outputs, initializers }), types }
}
