/**
 * Row int8 as nodes: each row of activations is rotated, gets a scale of its own and 8 bits an element, and meets the
 * matrix in an integer kernel. No row knows of another, whatever else is in the run (DESIGN decision 3).
 */
import { MICROSOFT } from '../../onnx/index.ts'
import type { GraphBuilder } from '../../onnx/index.ts'
import { hadamard } from './row-weights.ts'
import type { PackedRows } from './row-weights.ts'

interface QuantizedRows {
  /** uint8 [rows, inputs], 128 is zero */
  readonly quants: string
  /** float32 [rows, 1]: the magnitude that stands for 127 */
  readonly largest: string
}

/** Taken for the largest element of a row of zeros, so that nothing is divided by zero. */
const SMALLEST = 1e-30
/** The largest element of a row becomes this many steps; the steps are taken back with the weights' scales. */
const STEPS = 127
const ZERO = 128

const KNOWN = new WeakMap<GraphBuilder, Map<string, QuantizedRows>>()

/** y[rows, outputs], float32. */
export function rowMatmul(graph: GraphBuilder, name: string, x: string, matrix: PackedRows): string {
  const { quants, largest } = quantizedRows(graph, x, matrix)
  const zero = zeroPoint(graph)
  const product = graph.node(
    'MatMulIntegerToFloat',
    [
      quants,
      graph.stored(`${name}.quants`, matrix.quants),
      scalar(graph, 'step', 1 / STEPS),
      graph.stored(`${name}.scales`, matrix.scales),
      zero,
      zero,
    ],
    {},
    { domain: MICROSOFT },
  )
  return graph.node('Mul', [product, largest])
}

/** Once for all matrices that share an input. */
function quantizedRows(graph: GraphBuilder, x: string, { inputs, rotation }: PackedRows): QuantizedRows {
  const known = KNOWN.get(graph) ?? new Map<string, QuantizedRows>()
  KNOWN.set(graph, known)
  const found = known.get(x)
  if (found !== undefined) return found
  const rotated = rotatedRows(graph, x, inputs, rotation)
  const most = graph.node('ReduceMax', [graph.node('Abs', [rotated]), graph.int64s([1])], { keepdims: 1 })
  const largest = graph.node('Max', [most, scalar(graph, 'smallest', SMALLEST)])
  // Few nodes, since each costs more than its work in a run of two rows. Rounds half to even.
  const parts = graph.node('Div', [rotated, largest])
  const quants = graph.node('QuantizeLinear', [parts, scalar(graph, 'step', 1 / STEPS), zeroPoint(graph)])
  const made = { quants, largest }
  known.set(x, made)
  return made
}

function rotatedRows(graph: GraphBuilder, x: string, inputs: number, rotation: number): string {
  const matrix = graph.constant(`rows.hadamard.${rotation}`, 'f32', [rotation, rotation], hadamard(rotation))
  // 0 keeps the name of the rows' dimension: after a -1 the engine shares no buffers (decoder.ts, attention).
  const pieces = graph.node('Reshape', [x, graph.int64s([0, inputs / rotation, rotation])])
  return graph.node('Reshape', [graph.node('MatMul', [pieces, matrix]), graph.int64s([0, inputs])])
}

function scalar(graph: GraphBuilder, name: string, value: number): string {
  return graph.constant(`rows.${name}`, 'f32', [], Float32Array.of(value))
}

function zeroPoint(graph: GraphBuilder): string {
  return graph.constant('rows.zero', 'u8', [], Uint8Array.of(ZERO))
}
