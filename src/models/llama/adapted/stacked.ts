/**
 * Several adapters in one run of a decoder, and a row's bits the same whatever company it has. The engine's float32 product sums
 * up in steps that follow from the width of the result, so each adapter comes in slices of equal width, and every slice is a
 * product of its own; of each row zeros take the place of the others' slices, whatever is in these, and behind that they stand side by side.
 * Adding zeros changes no bits, and an adapter's columns begin where none of those steps (of 128) parts them.
 */
import type { GraphBuilder } from '../../../onnx/index.ts'
import type { DecoderShape } from '../../manifest.ts'
import { partSize } from './adapter-parts.ts'
import type { AdaptedPart, Adapt } from './adapter-parts.ts'

/** The input that says whose a row is: bool [slices, rows, 1]. */
export const ADAPTER_MASK = 'adapters'
/** Columns of a slice: the fewest that the engine gives to a thread, so that it never divides one. */
export const SLICE = 16
/** In slices. */
const STEP = 8

/** Inputs of layer `layer` of the graph: A [slices, inputs, 16] and B [16 slices, outputs of the place]. */
export const stackedInput = (layer: number, part: AdaptedPart, factor: 'a' | 'b'): string =>
  `a${factor}.${layer}.${part}`

/** Slices of an adapter; it begins at a multiple of them, or of a step where they are more. */
export function slicesOf(rank: number): number {
  const slices = Math.ceil(rank / SLICE)
  return slices > STEP ? STEP * Math.ceil(slices / STEP) : 2 ** Math.ceil(Math.log2(slices))
}

/** Outputs of the product that a part is added to, and where among them its own begin. */
export function placeOf(shape: DecoderShape, part: AdaptedPart): { readonly outputs: number; readonly before: number } {
  const own = partSize(shape, part).outputs
  if (part !== 'q' && part !== 'k' && part !== 'v') return { outputs: own, before: 0 }
  const [q, k, v] = (['q', 'k', 'v'] as const).map((each) => partSize(shape, each).outputs) as [number, number, number]
  return { outputs: q + k + v, before: part === 'q' ? 0 : part === 'k' ? q : q + k }
}

export function stackedAdapters(
  graph: GraphBuilder,
  shape: DecoderShape,
  layer: number,
  parts: readonly AdaptedPart[],
): Adapt {
  const sizes = new Map(
    parts.map((part) => {
      graph.input(stackedInput(layer, part, 'a'), 'f32', ['slices', partSize(shape, part).inputs, SLICE])
      graph.input(stackedInput(layer, part, 'b'), 'f32', ['columns', placeOf(shape, part).outputs])
      return [part, true] as const
    }),
  )
  const added = (part: AdaptedPart, x: string, y: string): string => {
    const inner = graph.node('MatMul', [x, stackedInput(layer, part, 'a')])
    // Not a product with 0: values of another's adapter may be too large for a float32, and 0 times infinity is none.
    const zero = graph.constant('f32.zero', 'f32', [], Float32Array.of(0))
    const turned = graph.node('Transpose', [graph.node('Where', [ADAPTER_MASK, inner, zero])], { perm: [1, 0, 2] })
    // 0 keeps the name of the rows' dimension (decoder.ts, attention).
    const own = graph.node('Reshape', [turned, graph.int64s([0, -1])])
    return graph.node('Add', [graph.node('MatMul', [own, stackedInput(layer, part, 'b')]), y])
  }
  return (place, x, y) => {
    const here: readonly AdaptedPart[] = place === 'qkv' ? ['q', 'k', 'v'] : [place]
    return here.filter((part) => sizes.has(part)).reduce((sum, part) => added(part, x, sum), y)
  }
}
