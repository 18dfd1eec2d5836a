/** Matrices alone in a graph. */
import { GraphBuilder } from '../../onnx/index.ts'
import { matmul } from './nodes.ts'
import type { PackedMatrix } from './pack.ts'

/** Each matrix with an input `x.<n>` [rows, inputs] and an output `y.<n>` [rows, outputs] of its own. */
export function matrixGraph(matrices: readonly PackedMatrix[]): Uint8Array {
  const graph = new GraphBuilder()
  for (const [index, matrix] of matrices.entries()) {
    const x = graph.input(`x.${index}`, 'f32', [`rows`, matrix.inputs])
    const y = `y.${index}`
    graph.node('Identity', [matmul(graph, `matrix.${index}`, x, matrix)], {}, { outputs: [y] })
    graph.output(y, 'f32', ['rows', matrix.outputs])
  }
  return graph.finish('matrices')
}
