/**
 * Adapters as peers hand them to each other: one file with a content address, the hub's layout, and of low-rank ones the factor
 * of the product taken into B, so that nothing beside the tensors has to be believed. A soft prompt is told by its one tensor.
 */
import type { DecoderShape } from '../manifest.ts'
import { memoryAccess } from '../readers/random-access.ts'
import { readSafetensors } from '../readers/safetensors.ts'
import { AdapterFileError } from './errors.ts'
import { AdapterTensors, filedFactors, MOST_RANK, takeFactors } from './low-rank.ts'
import { adapterTensors, peftName, PROMPT_ROWS } from './peft.ts'
import type { Adapter, SoftPrompt } from './peft.ts'
import { safetensorsBytes } from './write-safetensors.ts'

export function sealAdapter(shape: DecoderShape, adapter: Adapter): Uint8Array {
  if (adapter.kind === 'prompt') return safetensorsBytes(adapterTensors(shape, adapter), { format: 'pt' })
  const scale = adapter.alpha / adapter.rank
  const scaled = filedFactors(shape, adapter, peftName).map((tensor) =>
    tensor.place.factor === 'b' ? { ...tensor, values: tensor.values.map((value) => value * scale) } : tensor,
  )
  return safetensorsBytes(scaled, { format: 'pt' })
}

/** Layers [from, to), from 0, in kernels' order; a product is not scaled any more. @throws AdapterFileError, ModelFileError */
export async function openSealed(
  bytes: Uint8Array,
  shape: DecoderShape,
  name: string,
  from = 0,
  to = shape.layers,
): Promise<Adapter> {
  const access = memoryAccess(bytes)
  const tensors = new AdapterTensors(name, access, await readSafetensors(access, name))
  const dims = tensors.dims(PROMPT_ROWS)
  if (dims !== undefined) return openPrompt(tensors, shape, name, dims)
  return takeFactors(tensors, shape, { where: name, named: peftName, alpha: (rank) => rank, from, to })
}

async function openPrompt(
  tensors: AdapterTensors,
  { width }: DecoderShape,
  name: string,
  dims: readonly number[],
): Promise<SoftPrompt> {
  const [tokens = 0, columns] = dims
  if (dims.length !== 2 || columns !== width || tokens < 1 || tokens > MOST_RANK) {
    throw new AdapterFileError(name, `${PROMPT_ROWS} is [${dims.join(', ')}], and the model takes rows of ${width}`)
  }
  return { kind: 'prompt', tokens, rows: await tensors.take(PROMPT_ROWS, [tokens, width]) }
}
