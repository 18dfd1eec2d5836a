/** The graph pieces that decoder layers and the head have in common. */
import { MICROSOFT } from '../../onnx/index.ts'
import type { GraphBuilder, StoredTensor } from '../../onnx/index.ts'
import type { BoundaryType } from '../manifest.ts'
import type { PackedMatrix } from './pack.ts'
import { rowMatmul } from './row-matmul.ts'

/** y[rows, outputs] = x[rows, inputs] times the matrix, and its bias where it has one; each row for itself. */
export function matmul(graph: GraphBuilder, name: string, x: string, matrix: PackedMatrix): string {
  const y = product(graph, name, x, matrix)
  return matrix.bias === undefined ? y : graph.node('Add', [y, graph.stored(`${name}.bias`, matrix.bias)])
}

function product(graph: GraphBuilder, name: string, x: string, matrix: PackedMatrix): string {
  if (matrix.kind === 'float') return graph.node('MatMul', [x, graph.stored(`${name}.weight`, matrix.weights)])
  if (matrix.kind === 'rows') return rowMatmul(graph, name, x, matrix)
  const y = graph.node(
    'MatMulNBits',
    [x, graph.stored(`${name}.quants`, matrix.quants), graph.stored(`${name}.scales`, matrix.scales)],
    { K: matrix.inputs, N: matrix.outputs, bits: matrix.bits, block_size: matrix.block, accuracy_level: 4 },
    { domain: MICROSOFT },
  )
  if (matrix.offsets === null || hasFoldedOffsets(matrix)) return y
  const sums = blockSums(graph, x, matrix.inputs / matrix.block, matrix.block)
  // The bits of a MatMul and an Add, with one node less.
  return graph.node('Gemm', [sums, graph.stored(`${name}.offsets`, matrix.offsets), y])
}

/** The kernel's own form of the integers adds the offsets (fold-offsets.ts). */
export function hasFoldedOffsets(matrix: PackedMatrix): boolean {
  return matrix.kind === 'blocks' && matrix.quants.prepacked?.some(({ offsets }) => offsets === true) === true
}

const SUMS = new WeakMap<GraphBuilder, Map<string, string>>()

/** Sums of each block of each row: the same for all matrices that share an input. */
function blockSums(graph: GraphBuilder, x: string, blocks: number, block: number): string {
  const known = SUMS.get(graph) ?? new Map<string, string>()
  SUMS.set(graph, known)
  const key = `${x}/${block}`
  const found = known.get(key)
  if (found !== undefined) return found
  // 0 keeps the dimension's name; after a -1 the engine does not know it again (decoder.ts, attention).
  const shaped = graph.node('Reshape', [x, graph.int64s([0, blocks, block])])
  const sums = graph.node('ReduceSum', [shaped, graph.int64s([2])], { keepdims: 0 })
  known.set(key, sums)
  return sums
}

/** With a bias a layer norm, which takes the mean away first; else an RMS norm. */
export interface PackedNorm {
  readonly weight: StoredTensor
  readonly bias?: StoredTensor | undefined
}

/** Over the last axis. An RMS norm is SimplifiedLayerNormalization in ONNX Runtime. */
export function norm(graph: GraphBuilder, name: string, x: string, packed: PackedNorm, epsilon: number): string {
  const [kind, weights] = normWeights(graph, name, packed)
  return graph.node(`${kind}LayerNormalization`, [x, ...weights], {
    axis: -1,
    epsilon: { float: epsilon },
    stash_type: 1,
  })
}

/** x + skip and its norm, in one kernel: [norm, sum]. */
export function skipNorm(
  graph: GraphBuilder,
  name: string,
  x: string,
  skip: string,
  packed: PackedNorm,
  epsilon: number,
): readonly [norm: string, sum: string] {
  const norm = graph.value('norm')
  const sum = graph.value('sum')
  const [kind, weights] = normWeights(graph, name, packed)
  graph.node(
    `Skip${kind}LayerNormalization`,
    [x, skip, ...weights],
    { epsilon: { float: epsilon } },
    { domain: MICROSOFT, outputs: [norm, '', '', sum] },
  )
  return [norm, sum]
}

function normWeights(graph: GraphBuilder, name: string, { weight, bias }: PackedNorm): [kind: string, string[]] {
  const scale = graph.stored(`${name}.norm`, weight)
  return bias === undefined ? ['Simplified', [scale]] : ['', [scale, graph.stored(`${name}.shift`, bias)]]
}

/** c tanh(x / c): values stay within -c and c. */
export function softcap(graph: GraphBuilder, x: string, cap: number): string {
  const limit = graph.constant('softcap', 'f32', [], Float32Array.of(cap))
  return graph.node('Mul', [graph.node('Tanh', [graph.node('Div', [x, limit])]), limit])
}

/** 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). */
export function geluTanh(graph: GraphBuilder, x: string): string {
  return graph.node('Gelu', [x], { approximate: 'tanh' })
}

/** x * sigmoid(x): QuickGelu with alpha 1. */
export function silu(graph: GraphBuilder, x: string): string {
  return graph.node('QuickGelu', [x], { alpha: { float: 1 } }, { domain: MICROSOFT })
}

/**
 * What crosses from one block to the next: the residual, rounded to the boundary's type after every block, cut there
 * or not, so that any placement gives the same bits (DESIGN decision 7).
 */
export function roundBoundary(graph: GraphBuilder, x: string, boundary: BoundaryType): string {
  if (boundary === 'f32') return x
  const half = graph.node('Cast', [x], { to: 10 })
  return graph.node('Cast', [half], { to: 1 })
}

/** A boundary's rows as they are computed with: float32. */
export function fromBoundary(graph: GraphBuilder, x: string, boundary: BoundaryType): string {
  return boundary === 'f16' ? graph.node('Cast', [x], { to: 1 }) : x
}
