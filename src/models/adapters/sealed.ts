/**
 * Adapters as peers hand them to each other: one file with a content address, the hub's layout, and of low-rank ones the factor
 * of the product taken into B, so that nothing beside the tensors has to be believed. A soft prompt is told by its one tensor.
 */
import { filedDims, fromFile } from '../llama/adapted/adapter-layout.ts'
import { ADAPTED_PARTS } from '../llama/adapted/adapter-parts.ts'
import type { AdaptedPart } from '../llama/adapted/adapter-parts.ts'
import type { DecoderShape } from '../manifest.ts'
import { dequantize } from '../dequantize/index.ts'
import { memoryAccess } from '../readers/random-access.ts'
import { readSafetensors } from '../readers/safetensors.ts'
import type { FileTensor } from '../readers/gguf-tensors.ts'
import { AdapterFileError } from './errors.ts'
import { adapterTensors, isAllFinite, MOST_RANK, PROMPT_ROWS, tensorName } from './peft.ts'
import type { Adapter } from './peft.ts'
import { safetensorsBytes } from './write-safetensors.ts'

export type LowRankAdapter = Extract<Adapter, { kind: 'lora' }>

export type SoftPrompt = Extract<Adapter, { kind: 'prompt' }>

export function sealAdapter(shape: DecoderShape, adapter: Adapter): Uint8Array {
  if (adapter.kind === 'prompt') return safetensorsBytes(adapterTensors(shape, adapter), { format: 'pt' })
  const scale = adapter.alpha / adapter.rank
  const scaled = adapterTensors(shape, adapter).map((tensor) =>
    tensor.name.includes('lora_B') ? { ...tensor, values: tensor.values.map((value) => value * scale) } : tensor,
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
  const tensors = new Map((await readSafetensors(access, name)).map((tensor) => [tensor.name, tensor]))
  const rows = tensors.get(PROMPT_ROWS)
  if (rows !== undefined) return openPrompt(access, shape, name, rows)
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
    checkFinite(name, tensorName(layer, part, factor), filed)
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

async function openPrompt(
  access: ReturnType<typeof memoryAccess>,
  { width }: DecoderShape,
  name: string,
  { type, shape: dims, offset, bytes }: FileTensor,
): Promise<SoftPrompt> {
  const [tokens = 0, columns] = dims
  if (dims.length !== 2 || columns !== width || tokens < 1 || tokens > MOST_RANK) {
    throw new AdapterFileError(name, `${PROMPT_ROWS} is [${dims.join(', ')}], and the model takes rows of ${width}`)
  }
  const rows = dequantize(type, await access.read(offset, bytes), tokens * width)
  checkFinite(name, PROMPT_ROWS, rows)
  return { kind: 'prompt', tokens, rows }
}

/** Rows of others are in the same products. @throws AdapterFileError */
function checkFinite(name: string, tensor: string, values: Float32Array): void {
  if (!isAllFinite(values)) throw new AdapterFileError(name, `${tensor} has a value that is no finite number`)
}
