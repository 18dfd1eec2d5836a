/** What a decoder export is fed with in each step: new ids behind others, and caches that are empty at first. */
import { TENSOR_ARRAYS } from '../../../onnx/index.ts'
import type { AnyTensor } from '../../../onnx/index.ts'
import { stateBytes } from '../../../models/index.ts'
import type { DecoderInput, DecoderLayout, DecoderRole } from '../../../models/index.ts'
import type { KeptPair } from '../host/protocol.ts'
import type { Tensors } from '../tensors.ts'

/** Inputs of the model for `ids` behind `past` others; before the first token its caches too. */
export function stepFeeds({ inputs, caches }: DecoderLayout, ids: readonly number[], past: number): Tensors {
  const feeds = new Map<string, AnyTensor>(inputs.map((input) => [input.name, valueOf(input, ids, past)]))
  if (past > 0) return feeds
  for (const cache of caches) {
    const { input, type, shape } = cache
    const data = new TENSOR_ARRAYS[type](stateBytes(cache, 0) / TENSOR_ARRAYS[type].BYTES_PER_ELEMENT)
    feeds.set(input, { type, dims: shape, data })
  }
  return feeds
}

export function carriesOf({ caches }: DecoderLayout): readonly KeptPair[] {
  return caches.map(({ output, input }) => [output, input] as const)
}

function valueOf(input: DecoderInput, ids: readonly number[], past: number): AnyTensor {
  const total = past + ids.length
  const values: Readonly<Record<DecoderRole, () => readonly number[]>> = {
    ids: () => ids,
    mask: () => Array.from({ length: total }, () => 1),
    positions: () => ids.map((_, row) => past + row),
    total_length: () => [total],
    last_position: () => [total - 1],
    kept_logits: () => [1],
    use_cache: () => [past > 0 ? 1 : 0],
  }
  return integers(input, values[input.role]())
}

/** Axes before the last are batches of one. */
function integers({ type, rank }: DecoderInput, values: readonly number[]): AnyTensor {
  const dims = Array.from({ length: rank }, (_, axis) => (axis === rank - 1 ? values.length : 1))
  if (type === 'int64') return { type, dims, data: BigInt64Array.from(values, BigInt) }
  if (type === 'int32') return { type, dims, data: Int32Array.from(values) }
  return { type, dims, data: Uint8Array.from(values) }
}
