/** The head: final norm and the projection onto the vocabulary, for the rows that are asked for. */
import { GraphBuilder } from '../../onnx/index.ts'
import type { StoredTensor } from '../../onnx/index.ts'
import type { BoundaryType, DecoderShape } from '../manifest.ts'
import { fromBoundary, matmul, norm, softcap } from './nodes.ts'
import type { PackedMatrix } from './pack.ts'

export interface PackedHead {
  readonly norm: StoredTensor
  readonly normBias?: StoredTensor
  /** The logits of all tokens, in slices of the vocabulary: what packs a matrix holds it several times. */
  readonly projections: readonly PackedMatrix[]
}

export interface HeadInit extends PackedHead {
  readonly shape: DecoderShape
  readonly boundary: BoundaryType
}

/** `x` [rows, width] to `logits` [rows, vocabulary], float32. */
export function headGraph(init: HeadInit): Uint8Array {
  const { shape, boundary } = init
  const graph = new GraphBuilder()
  const x = fromBoundary(graph, graph.input('x', boundary, ['rows', shape.width]), boundary)
  graph.node('Identity', [headLogits(graph, shape, init, x)], {}, { outputs: ['logits'] })
  graph.output('logits', 'f32', ['rows', shape.vocabulary])
  return graph.finish('head')
}

/** From the residual [rows, width], float32, to logits [rows, vocabulary]. */
export function headLogits(graph: GraphBuilder, shape: DecoderShape, head: PackedHead, residual: string): string {
  const final = { weight: head.norm, bias: head.normBias }
  const normed = norm(graph, 'final', residual, final, shape.norm_epsilon)
  const [first, ...others] = head.projections.map((matrix, index) =>
    matmul(graph, index === 0 ? 'head' : `head.${index}`, normed, matrix),
  )
  const logits = others.length === 0 ? first! : graph.node('Concat', [first!, ...others], { axis: -1 })
  return shape.logit_softcap === undefined ? logits : softcap(graph, logits, shape.logit_softcap)
}
