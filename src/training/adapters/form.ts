/** What an adapter consists of: its parts in each layer, its parameters by name, and their first values. */
import { createSeeded } from '../../data/index.ts'
import { ADAPTED_PARTS, kernelHeadDim, partSize } from '../../models/index.ts'
import type { AdaptedPart, AdapterForm, DecoderShape } from '../../models/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import type { Tensors } from '../loop/stepper.ts'

export type AdapterSpec =
  /** Low-rank matrices beside those of the layers (Hu et al., arXiv 2106.09685). */
  | {
      readonly kind: 'lora'
      readonly rank: number
      /** The product is multiplied by alpha / rank. */
      readonly alpha: number
      readonly targets: readonly AdaptedPart[]
    }
  /** Rows before the first of each text (Lester et al., arXiv 2104.08691). */
  | { readonly kind: 'prompt'; readonly tokens: number }

export const PROMPT = 'prompt'

/** In the order of the layer, whatever the plan's. */
export function formOf(spec: AdapterSpec): AdapterForm {
  if (spec.kind === 'prompt') return { parts: [], rank: 1, scale: 1 }
  const parts = ADAPTED_PARTS.filter((part) => spec.targets.includes(part))
  return { parts, rank: spec.rank, scale: spec.alpha / spec.rank }
}

/** Of a decoder block, counted as in the manifest: 1 is the first layer. A [rank, inputs], B [outputs, rank]. */
export const parameterName = (block: number, part: AdaptedPart, factor: 'a' | 'b'): string =>
  `${block}/${part}/${factor}`

export interface AdapterParameter {
  readonly name: string
  readonly dims: readonly [number, number]
}

/** Of blocks [from, to), without soft prompts. */
export function parametersOf(
  shape: DecoderShape,
  { parts, rank }: AdapterForm,
  from: number,
  to: number,
): AdapterParameter[] {
  const first = Math.max(from, 1)
  const blocks = Array.from({ length: Math.max(0, Math.min(to, shape.layers + 1) - first) }, (_, at) => first + at)
  return blocks.flatMap((block) =>
    parts.flatMap((part): AdapterParameter[] => {
      const { inputs, outputs } = partSize(shape, part)
      return [
        { name: parameterName(block, part, 'a'), dims: [rank, inputs] },
        { name: parameterName(block, part, 'b'), dims: [outputs, rank] },
      ]
    }),
  )
}

/** A uniform within 1 / sqrt(inputs), as PEFT draws it, and B zeros: an adapter that changes nothing. */
export function firstAdapter(shape: DecoderShape, form: AdapterForm, seed: number): Tensors {
  const entries = parametersOf(shape, form, 0, shape.layers + 2).map(({ name, dims }): [string, Tensor] => {
    const data = new Float32Array(dims[0] * dims[1])
    if (name.endsWith('/a')) {
      const seeded = createSeeded(seed, 'adapter', name)
      const bound = 1 / Math.sqrt(dims[1])
      const isSeen = name.includes('/o/') ? seenColumns(shape) : () => true
      for (let at = 0; at < data.length; at++) {
        if (isSeen(at % dims[1])) data[at] = bound * (2 * seeded.uniform() - 1)
      }
    }
    return [name, { type: 'float32', dims, data }]
  })
  return Object.fromEntries(entries)
}

/** Behind narrow heads stand columns that are always zero (head-width.ts). */
function seenColumns(shape: DecoderShape): (column: number) => boolean {
  const wide = kernelHeadDim(shape)
  return (column) => column % wide < shape.head_dim
}
