/** Adapters in the layout of the PEFT library (0.17): adapter_config.json and adapter_model.safetensors in a folder. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../../store/index.ts'
import { dequantize } from '../dequantize/index.ts'
import { ADAPTED_PARTS } from '../llama/adapted/adapter-parts.ts'
import type { AdaptedPart } from '../llama/adapted/adapter-parts.ts'
import { filedDims, fromFile, toFile } from '../llama/adapted/adapter-layout.ts'
import type { DecoderShape } from '../manifest.ts'
import { openFileAccess } from '../readers/random-access.ts'
import { readSafetensors } from '../readers/safetensors.ts'
import { AdapterFileError } from './errors.ts'
import { writeSafetensors } from './write-safetensors.ts'
import type { FiledTensor } from './write-safetensors.ts'

export const ADAPTER_FILES = { config: 'adapter_config.json', weights: 'adapter_model.safetensors' } as const

const MODULES: Readonly<Record<AdaptedPart, string>> = {
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  o: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
}
const FACTORS = { a: 'lora_A', b: 'lora_B' } as const
/** Name of a soft prompt's one tensor. */
export const PROMPT_ROWS = 'prompt_embeddings'
/** Far more than is sensible; bounds what a file can make others hold. */
export const MOST_RANK = 1024
const MOST_CONFIG_BYTES = 1 << 20

/** What an adapter is, and its values as kernels take them. */
export type Adapter =
  | {
      readonly kind: 'lora'
      readonly rank: number
      readonly alpha: number
      readonly parts: readonly AdaptedPart[]
      /** Of layer (from 0), part and factor: A [rank, inputs], B [outputs, rank]. */
      value(layer: number, part: AdaptedPart, factor: 'a' | 'b'): Float32Array
    }
  | { readonly kind: 'prompt'; readonly tokens: number; readonly rows: Float32Array }

/** @param base name of the model. @throws DiskFullError, StoreUnwritableError */
export async function writeAdapter(folder: string, shape: DecoderShape, base: string, adapter: Adapter): Promise<void> {
  await writeSafetensors(join(folder, ADAPTER_FILES.weights), adapterTensors(shape, adapter), { format: 'pt' })
  await writeFileAtomic(
    join(folder, ADAPTER_FILES.config),
    `${JSON.stringify(configOf(shape, base, adapter), null, 2)}\n`,
  )
}

export function adapterTensors(shape: DecoderShape, adapter: Adapter): FiledTensor[] {
  if (adapter.kind === 'prompt') {
    return [{ name: PROMPT_ROWS, dims: [adapter.tokens, shape.width], values: adapter.rows }]
  }
  const { rank, parts } = adapter
  return Array.from({ length: shape.layers }, (_, layer) =>
    parts.flatMap((part) =>
      (['a', 'b'] as const).map((factor): FiledTensor => ({
        name: tensorName(layer, part, factor),
        dims: filedDims(shape, part, factor, rank),
        values: toFile(shape, part, factor, rank, adapter.value(layer, part, factor)),
      })),
    ),
  ).flat()
}

export function tensorName(layer: number, part: AdaptedPart, factor: 'a' | 'b'): string {
  return `base_model.model.model.layers.${layer}.${MODULES[part]}.${FACTORS[factor]}.weight`
}

function configOf(shape: DecoderShape, base: string, adapter: Adapter): object {
  const common = { base_model_name_or_path: base, task_type: 'CAUSAL_LM', inference_mode: true }
  if (adapter.kind === 'prompt') {
    return {
      peft_type: 'PROMPT_TUNING',
      ...common,
      num_virtual_tokens: adapter.tokens,
      token_dim: shape.width,
      num_transformer_submodules: 1,
      num_attention_heads: shape.heads,
      num_layers: shape.layers,
      prompt_tuning_init: 'RANDOM',
    }
  }
  return {
    peft_type: 'LORA',
    ...common,
    r: adapter.rank,
    lora_alpha: adapter.alpha,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    target_modules: adapter.parts.map((part) => MODULES[part].split('.')[1]),
  }
}

const rank = z.int().min(1).max(MOST_RANK)
const configSchema = z.discriminatedUnion('peft_type', [
  z.object({
    peft_type: z.literal('LORA'),
    r: rank,
    lora_alpha: z.number().positive(),
    bias: z.literal('none').default('none'),
    fan_in_fan_out: z.literal(false).default(false),
    use_dora: z.literal(false).default(false),
    use_rslora: z.boolean().default(false),
    rank_pattern: z.record(z.string(), z.never()).default({}),
    alpha_pattern: z.record(z.string(), z.never()).default({}),
    modules_to_save: z.null().optional(),
  }),
  z.object({ peft_type: z.literal('PROMPT_TUNING'), num_virtual_tokens: rank }),
])

/** @throws AdapterFileError, ModelFileError, SourceFileError */
export async function readAdapter(folder: string, shape: DecoderShape): Promise<Adapter> {
  const config = await configIn(folder)
  const tensors = await tensorsIn(folder)
  const take = (name: string, dims: readonly number[]): Float32Array => {
    const found = tensors.get(name)
    if (found === undefined) throw new AdapterFileError(folder, `the tensor ${name} is missing`)
    if (found.shape.join() !== dims.join()) {
      const why = `${name} is [${found.shape.join(', ')}], and the model takes [${dims.join(', ')}]`
      throw new AdapterFileError(folder, why, { tensor: name })
    }
    if (!isAllFinite(found.values)) {
      throw new AdapterFileError(folder, `${name} has a value that is no finite number`, { tensor: name })
    }
    tensors.delete(name)
    return found.values
  }
  const adapter = config.peft_type === 'LORA' ? lora(shape, config, tensors, take) : prompt(shape, config, take)
  const odd = tensors.keys().next().value
  if (odd !== undefined)
    throw new AdapterFileError(folder, `it has the tensor ${odd}, which the model has no place for`)
  return adapter
}

type Config = z.infer<typeof configSchema>
interface Values {
  readonly shape: readonly number[]
  readonly values: Float32Array
}
type Take = (name: string, dims: readonly number[]) => Float32Array

function prompt(shape: DecoderShape, config: Extract<Config, { peft_type: 'PROMPT_TUNING' }>, take: Take): Adapter {
  const tokens = config.num_virtual_tokens
  return { kind: 'prompt', tokens, rows: take(PROMPT_ROWS, [tokens, shape.width]) }
}

function lora(
  shape: DecoderShape,
  config: Extract<Config, { peft_type: 'LORA' }>,
  tensors: ReadonlyMap<string, Values>,
  take: Take,
): Adapter {
  const { r: own, use_rslora: stabilised } = config
  const alpha = stabilised ? config.lora_alpha * Math.sqrt(own) : config.lora_alpha
  const parts = ADAPTED_PARTS.filter((part) => tensors.has(tensorName(0, part, 'a')))
  const values = new Map<string, Float32Array>()
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const part of parts) {
      for (const factor of ['a', 'b'] as const) {
        const filed = take(tensorName(layer, part, factor), filedDims(shape, part, factor, own))
        values.set(`${layer}/${part}/${factor}`, fromFile(shape, part, factor, own, filed))
      }
    }
  }
  return {
    kind: 'lora',
    rank: own,
    alpha,
    parts,
    value: (layer, part, factor) => values.get(`${layer}/${part}/${factor}`)!,
  }
}

export function isAllFinite(values: Float32Array): boolean {
  return values.every(Number.isFinite)
}

async function configIn(folder: string): Promise<Config> {
  let value: unknown
  try {
    const text = await readFile(join(folder, ADAPTER_FILES.config), 'utf8')
    if (text.length > MOST_CONFIG_BYTES) throw new Error(`${ADAPTER_FILES.config} is too large`)
    value = JSON.parse(text)
  } catch (error) {
    throw new AdapterFileError(folder, (error as Error).message.slice(0, 300))
  }
  const parsed = configSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  throw new AdapterFileError(folder, `${ADAPTER_FILES.config}, ${issue.path.join('.')}: ${issue.message}`)
}

async function tensorsIn(folder: string): Promise<Map<string, Values>> {
  const access = await openFileAccess(join(folder, ADAPTER_FILES.weights))
  try {
    const found = new Map<string, Values>()
    for (const { name, type, shape, offset, bytes } of await readSafetensors(access, ADAPTER_FILES.weights)) {
      const elements = shape.reduce((product, size) => product * size, 1)
      found.set(name, { shape, values: dequantize(type, await access.read(offset, bytes), elements) })
    }
    return found
  } finally {
    await access.close()
  }
}
