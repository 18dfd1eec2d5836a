/** The head: final norm and the projection onto the vocabulary, for the rows that are asked for. */
import { GraphBuilder } from '../../onnx/index.ts'
import type { StoredTensor } from '../../onnx/index.ts'
import type { BoundaryType, LlamaShape } from '../manifest.ts'
import { matmul, rmsNorm } from './nodes.ts'
import type { PackedMatrix } from './pack.ts'

export interface HeadInit {
  readonly shape: LlamaShape
  readonly boundary: BoundaryType
  readonly norm: StoredTensor
  readonly projection: PackedMatrix
}

/** `x` [rows, width] to `logits` [rows, vocabulary], float32. */
export function headGraph(init: HeadInit): Uint8Array {
  const { shape, boundary } = init
  const graph = new GraphBuilder()
  const wire = boundary === 'f16' ? 'f16' : 'f32'
  let x = graph.input('x', wire, ['rows', shape.width])
  if (boundary === 'f16') x = graph.node('Cast', [x], { to: 1 })
  const normed = rmsNorm(graph, 'final', x, init.norm, shape.norm_epsilon)
  const logits = matmul(graph, 'head', normed, init.projection)
  graph.node('Identity', [logits], {}, { outputs: ['logits'] })
  graph.output('logits', 'f32', ['rows', shape.vocabulary])
  return graph.finish('head')
}
