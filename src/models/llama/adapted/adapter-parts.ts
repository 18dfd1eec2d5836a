/** The matrices of a decoder layer that an adapter may stand beside, and their sizes as kernels have them. */
import type { GraphBuilder } from '../../../onnx/index.ts'
import type { LayerPart } from '../../decoder-tensors.ts'
import type { DecoderShape } from '../../manifest.ts'
import { kernelHeadDim } from '../head-width.ts'

export const ADAPTED_PARTS = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const
export type AdaptedPart = (typeof ADAPTED_PARTS)[number]

/** As GGUF files name them. */
export const ADAPTED_MATRICES = {
  q: 'attn_q',
  k: 'attn_k',
  v: 'attn_v',
  o: 'attn_output',
  gate: 'ffn_gate',
  up: 'ffn_up',
  down: 'ffn_down',
} as const satisfies Readonly<Record<AdaptedPart, LayerPart>>

/** Where `decoderLayer` asks for adapters: q, k and v come together. */
export type AdaptedPlace = 'qkv' | 'o' | 'gate' | 'up' | 'down'

/** From a product's input and output, both [rows, ...], to what goes on in the output's place. */
export type Adapt = (place: AdaptedPlace, input: string, output: string) => string

export interface PartSize {
  readonly inputs: number
  readonly outputs: number
}

/** With heads as wide as kernels take them. */
export function partSize(shape: DecoderShape, part: AdaptedPart): PartSize {
  const { width, hidden, heads, kv_heads: groups } = shape
  const wide = kernelHeadDim(shape)
  if (part === 'o') return { inputs: heads * wide, outputs: width }
  if (part === 'down') return { inputs: hidden, outputs: width }
  if (part === 'gate' || part === 'up') return { inputs: width, outputs: hidden }
  return { inputs: width, outputs: (part === 'q' ? heads : groups) * wide }
}

/** Names of an adapter's inputs in a layer's graph: A [rank, inputs] and B [outputs, rank]. */
export const adapterInput = (part: AdaptedPart, factor: 'a' | 'b'): string => `adapter.${part}.${factor}`

/** Hu et al., arXiv 2106.09685: y + scale B A x, for the parts that have an adapter. */
export function lowRank(
  graph: GraphBuilder,
  shape: DecoderShape,
  { parts, rank, scale }: { readonly parts: readonly AdaptedPart[]; readonly rank: number; readonly scale: number },
): Adapt {
  const inputs = new Map(
    parts.map((part) => {
      const size = partSize(shape, part)
      graph.input(adapterInput(part, 'a'), 'f32', [rank, size.inputs])
      graph.input(adapterInput(part, 'b'), 'f32', [size.outputs, rank])
      return [part, size] as const
    }),
  )
  const added = (part: AdaptedPart, x: string, y: string, before: number, behind: number): string => {
    const inner = graph.node('Gemm', [x, adapterInput(part, 'a')], { transB: 1 })
    const own = adapterInput(part, 'b')
    const b = before + behind === 0 ? own : graph.node('Pad', [own, graph.int64s([before, 0, behind, 0])])
    return graph.node('Gemm', [inner, b, y], { transB: 1, alpha: { float: scale } })
  }
  return (place, x, y) => {
    if (place !== 'qkv') return inputs.has(place) ? added(place, x, y, 0, 0) : y
    const heads = (['q', 'k', 'v'] as const).map((part) => partSize(shape, part).outputs) as [number, number, number]
    const all = heads[0] + heads[1] + heads[2]
    let sum = y
    let before = 0
    for (const [index, part] of (['q', 'k', 'v'] as const).entries()) {
      if (inputs.has(part)) sum = added(part, x, sum, before, all - before - heads[index]!)
      before += heads[index]!
    }
    return sum
  }
}
