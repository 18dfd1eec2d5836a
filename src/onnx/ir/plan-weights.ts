/** Decides which initializers lie in the external file of a model, and where in it. */
import { dataBytes } from './elements.ts'
import type { Graph, Model, TensorValue } from './types.ts'
import { subgraphs } from './uses.ts'
import type { Stored } from './write-graph.ts'
import type { Piece } from './wire-writer.ts'

export interface PlannedWeights {
  readonly stored: ReadonlyMap<TensorValue, Stored>
  /** What the file holds, in the order of offsets. */
  readonly pieces: readonly { readonly piece: Piece; readonly offset: number }[]
  readonly bytes: number
}

export interface WeightRules {
  readonly external: 'auto' | 'always' | 'never'
  readonly inlineMost: number
  readonly externalFrom: number
}

/** The engine maps a tensor into memory where it begins with a page, and copies it elsewhere. */
const PAGE_BYTES = 4096
/** For what is smaller than a page. */
const SMALL_ALIGNMENT = 64

/** Initializers of all graphs; attributes of nodes and what stands in functions cannot lie outside. */
export function planWeights(model: Model, location: string, rules: WeightRules): PlannedWeights {
  const from = Math.max(1, rules.externalFrom)
  const large = [...initializers(model.graph)].filter((tensor) => dataBytes(tensor) >= from)
  const total = large.reduce((sum, tensor) => sum + dataBytes(tensor), 0)
  const isOutside = rules.external === 'always' || (rules.external === 'auto' && total > rules.inlineMost)
  return isOutside ? place(large, location) : { stored: new Map(), pieces: [], bytes: 0 }
}

function* initializers(graph: Graph): Generator<TensorValue> {
  yield* graph.initializers.values()
  for (const node of graph.nodes) for (const inner of subgraphs(node)) yield* initializers(inner)
}

function place(tensors: readonly TensorValue[], location: string): PlannedWeights {
  const stored = new Map<TensorValue, Stored>()
  const pieces: { readonly piece: Piece; readonly offset: number }[] = []
  // Weights that are tied are two tensors of the same bytes: these are written once.
  const offsets = new Map<string | Uint8Array, number>()
  let end = 0
  for (const tensor of tensors) {
    const { data } = tensor
    if (data.kind === 'strings' || stored.has(tensor)) continue
    const length = dataBytes(tensor)
    const key = data.kind === 'bytes' ? data.bytes : JSON.stringify([data.path, data.offset, data.length])
    let offset = offsets.get(key)
    if (offset === undefined) {
      const alignment = length >= PAGE_BYTES ? PAGE_BYTES : SMALL_ALIGNMENT
      offset = Math.ceil(end / alignment) * alignment
      end = offset + length
      offsets.set(key, offset)
      pieces.push({ piece: data.kind === 'bytes' ? data.bytes : data, offset })
    }
    stored.set(tensor, { location, offset, length })
  }
  return { stored, pieces, bytes: end }
}
