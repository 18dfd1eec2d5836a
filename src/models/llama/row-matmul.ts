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
  /** float32 [rows, 1] */
  readonly scales: string
}

/** Rows of zeros get this scale, so that nothing is divided by zero; far below what float32 activations reach. */
const SMALLEST = 1e-30
const LARGEST = 127
const ZERO = 128

const KNOWN = new WeakMap<GraphBuilder, Map<string, QuantizedRows>>()

/** y[rows, outputs], float32. */
export function rowMatmul(graph: GraphBuilder, name: string, x: string, matrix: PackedRows): string {
  const { quants, scales } = quantizedRows(graph, x, matrix)
  const zero = graph.constant('rows.zero', 'u8', [], Uint8Array.of(ZERO))
  const product = graph.node(
    'MatMulIntegerToFloat',
    [
      quants,
      graph.stored(`${name}.quants`, matrix.quants),
      scalar(graph, 'one', 1),
      graph.stored(`${name}.scales`, matrix.scales),
      zero,
      zero,
    ],
    {},
    { domain: MICROSOFT },
  )
  return graph.node('Mul', [product, scales])
}

/** Once for all matrices that share an input. */
function quantizedRows(graph: GraphBuilder, x: string, { inputs, rotation }: PackedRows): QuantizedRows {
  const known = KNOWN.get(graph) ?? new Map<string, QuantizedRows>()
  KNOWN.set(graph, known)
  const found = known.get(x)
  if (found !== undefined) return found
  const rotated = rotatedRows(graph, x, inputs, rotation)
  const largest = graph.node('ReduceMax', [graph.node('Abs', [rotated]), graph.int64s([1])], { keepdims: 0 })
  const steps = graph.node('Mul', [largest, scalar(graph, 'step', 1 / LARGEST)])
  const scales = graph.node('Max', [steps, scalar(graph, 'smallest', SMALLEST)])
  const zero = graph.constant('rows.zeros', 'u8', [1], Uint8Array.of(ZERO))
  const zeros = graph.node('Expand', [zero, graph.node('Shape', [scales])])
  // Along axis 0 each row has its own scale and zero: round half to even, then clipped to 0..255.
  const quants = graph.node('QuantizeLinear', [rotated, scales, zeros], { axis: 0 })
  const made = { quants, scales: graph.node('Unsqueeze', [scales, graph.int64s([1])]) }
  known.set(x, made)
  return made
}

function rotatedRows(graph: GraphBuilder, x: string, inputs: number, rotation: number): string {
  const matrix = graph.constant(`rows.hadamard.${rotation}`, 'f32', [rotation, rotation], hadamard(rotation))
  const pieces = graph.node('Reshape', [x, graph.int64s([-1, rotation])])
  return graph.node('Reshape', [graph.node('MatMul', [pieces, matrix]), graph.int64s([-1, inputs])])
}

function scalar(graph: GraphBuilder, name: string, value: number): string {
  return graph.constant(`rows.${name}`, 'f32', [], Float32Array.of(value))
}
