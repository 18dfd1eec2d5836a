/**
 * Low-rank adapters as peers hand them to each other: one file with a content address, the hub's layout, and the factor
 * of the product taken into B, so that nothing beside the tensors has to be believed.
 */
import { filedDims, fromFile } from '../llama/adapted/adapter-layout.ts'
import { ADAPTED_PARTS } from '../llama/adapted/adapter-parts.ts'
import type { AdaptedPart } from '../llama/adapted/adapter-parts.ts'
import type { DecoderShape } from '../manifest.ts'
import { dequantize } from '../dequantize/index.ts'
import { memoryAccess } from '../readers/random-access.ts'
import { readSafetensors } from '../readers/safetensors.ts'
import { AdapterFileError } from './errors.ts'
import { adapterTensors, MOST_RANK, tensorName } from './peft.ts'
import type { Adapter } from './peft.ts'
import { safetensorsBytes } from './write-safetensors.ts'

export type LowRankAdapter = Extract<Adapter, { kind: 'lora' }>

export function sealAdapter(shape: DecoderShape, adapter: LowRankAdapter): Uint8Array {
  const scale = adapter.alpha / adapter.rank
  const scaled = adapterTensors(shape, adapter).map((tensor) =>
    tensor.name.includes('lora_B') ? { ...tensor, values: tensor.values.map((value) => value * scale) } : tensor,
  )
  return safetensorsBytes(scaled, { format: 'pt' })
}

/** Layers [from, to), from 0, in kernels' order; the product is not scaled any more. @throws AdapterFileError, ModelFileError */
export async function openSealed(
  bytes: Uint8Array,
  shape: DecoderShape,
  name: string,
  from = 0,
  to = shape.layers,
): Promise<LowRankAdapter> {
  const access = memoryAccess(bytes)
  const tensors = new Map((await readSafetensors(access, name)).map((tensor) => [tensor.name, tensor]))
  const parts = ADAPTED_PARTS.filter((part) => tensors.has(tensorName(0, part, 'a')))
  const rank = tensors.get(tensorName(0, parts[0] ?? 'q', 'a'))?.shape[0] ?? 0
  if (rank < 1 || rank > MOST_RANK) throw new AdapterFileError(name, `a rank of ${rank} is none`)
  const values = new Map<string, Float32Array>()
  const take = async (layer: number, part: AdaptedPart, factor: 'a' | 'b'): Promise<void> => {
    const tensor = tensors.get(tensorName(layer, part, factor))
    const dims = filedDims(shape, part, factor, rank)
    if (tensor?.shape.join() !== dims.join()) {
      throw new AdapterFileError(name, `${tensorName(layer, part, factor)} is missing, or not [${dims.join(', ')}]`)
    }
    const filed = dequantize(tensor.type, await access.read(tensor.offset, tensor.bytes), dims[0] * dims[1])
    values.set(`${layer}/${part}/${factor}`, fromFile(shape, part, factor, rank, filed))
  }
  for (let layer = from; layer < to; layer++) {
    for (const part of parts) for (const factor of ['a', 'b'] as const) await take(layer, part, factor)
  }
  return {
    kind: 'lora',
    rank,
    alpha: rank,
    parts,
    value: (layer, part, factor) => values.get(`${layer}/${part}/${factor}`)!,
  }
}
