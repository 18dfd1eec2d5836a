/**
 * Causal attention over whole texts in standard operators, for graphs that are differentiated: what
 * GroupQueryAttention computes, without a cache (Vaswani et al., arXiv 1706.03762; arXiv 2305.13245; arXiv 2104.09864).
 */
import type { GraphBuilder } from '../../../onnx/index.ts'
import type { DecoderShape } from '../../manifest.ts'
import { kernelHeadDim } from '../head-width.ts'
import { softcap } from '../nodes.ts'

/** Names of inputs: [length, 1, pairs of a head] each, and [length, length], what is added to scores. */
export const TEXT_INPUT = { cos: 'cos', sin: 'sin', mask: 'mask' } as const

/**
 * @param qkv packed, [texts length, (heads + 2 kv heads) head dim], pairs that are rotated side by side
 * @param rotated whether the layer has positions
 * @returns [texts length, heads head dim]
 */
export function textAttention(
  graph: GraphBuilder,
  shape: DecoderShape,
  length: number,
  rotated: boolean,
  qkv: string,
): string {
  const { heads, kv_heads: groups } = shape
  const wide = kernelHeadDim(shape)
  const together = heads / groups
  const all = graph.node('Reshape', [qkv, graph.int64s([-1, length, heads + 2 * groups, wide])])
  const [q, k, v] = [graph.value('q'), graph.value('k'), graph.value('v')]
  graph.node('Split', [all, graph.int64s([heads, groups, groups])], { axis: 2 }, { outputs: [q, k, v] })
  const turned = (part: string, count: number): string =>
    rotated ? rotate(graph, part, [-1, length, count, wide / 2, 2]) : part
  const queries = byGroup(graph, turned(q, heads), [-1, length, groups, together, wide], [0, 2, 3, 1, 4])
  const keys = byGroup(graph, turned(k, groups), [-1, length, groups, 1, wide], [0, 2, 3, 4, 1])
  const values = byGroup(graph, v, [-1, length, groups, 1, wide], [0, 2, 3, 1, 4])
  const scale = shape.attention_scale ?? 1 / Math.sqrt(shape.head_dim)
  const factor = graph.constant('attention.scale', 'f32', [], Float32Array.of(scale))
  const scores = graph.node('Mul', [graph.node('MatMul', [queries, keys]), factor])
  const capped = shape.attention_softcap === undefined ? scores : softcap(graph, scores, shape.attention_softcap)
  const shares = graph.node('Softmax', [graph.node('Add', [capped, TEXT_INPUT.mask])], { axis: -1 })
  const attended = graph.node('Transpose', [graph.node('MatMul', [shares, values])], { perm: [0, 3, 1, 2, 4] })
  return graph.node('Reshape', [attended, graph.int64s([-1, heads * wide])])
}

function byGroup(graph: GraphBuilder, part: string, dims: readonly number[], perm: readonly number[]): string {
  return graph.node('Transpose', [graph.node('Reshape', [part, graph.int64s(dims)])], { perm })
}

/** Neighbours (a, b) become (a cos - b sin, a sin + b cos). */
function rotate(graph: GraphBuilder, part: string, dims: readonly number[]): string {
  const pairs = graph.node('Reshape', [part, graph.int64s(dims)])
  const [a, b] = [graph.value('even'), graph.value('odd')]
  graph.node('Split', [pairs, graph.int64s([1, 1])], { axis: -1 }, { outputs: [a, b] })
  const [flatA, flatB] = [a, b].map((half) => graph.node('Squeeze', [half, graph.int64s([-1])])) as [string, string]
  const by = (half: string, table: string): string => graph.node('Mul', [half, table])
  const { cos, sin } = TEXT_INPUT
  const turned = [
    graph.node('Sub', [by(flatA, cos), by(flatB, sin)]),
    graph.node('Add', [by(flatA, sin), by(flatB, cos)]),
  ].map((half) => graph.node('Unsqueeze', [half, graph.int64s([-1])]))
  const width = dims.at(-2)! * 2
  return graph.node('Reshape', [
    graph.node('Concat', turned, { axis: -1 }),
    graph.int64s([-1, dims[1]!, dims[2]!, width]),
  ])
}
