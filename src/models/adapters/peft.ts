/** Adapters in the layout of the PEFT library (0.17): adapter_config.json and adapter_model.safetensors in a folder. */
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../../store/index.ts'
import { ADAPTED_MATRICES } from '../llama/adapted/adapter-parts.ts'
import type { AdaptedPart } from '../llama/adapted/adapter-parts.ts'
import type { DecoderShape } from '../manifest.ts'
import { hubPart } from '../readers/hub-names.ts'
import { parseJson } from '../readers/json-document.ts'
import { openFileAccess } from '../readers/random-access.ts'
import { readSafetensors } from '../readers/safetensors.ts'
import { AdapterFileError } from './errors.ts'
import { AdapterTensors, filedFactors, MOST_RANK, takeFactors } from './low-rank.ts'
import type { LowRankAdapter, Place } from './low-rank.ts'
import { writeSafetensors } from './write-safetensors.ts'
import type { FiledTensor } from './write-safetensors.ts'

export const ADAPTER_FILES = { config: 'adapter_config.json', weights: 'adapter_model.safetensors' } as const

const FACTORS = { a: 'lora_A', b: 'lora_B' } as const
/** Name of a soft prompt's one tensor. */
export const PROMPT_ROWS = 'prompt_embeddings'
const MOST_CONFIG_BYTES = 1 << 20

export interface SoftPrompt {
  readonly kind: 'prompt'
  readonly tokens: number
  /** [tokens, width] */
  readonly rows: Float32Array
}

export type Adapter = LowRankAdapter | SoftPrompt

/** @param base name of the model. @throws DiskFullError, StoreUnwritableError */
export async function writeAdapter(folder: string, shape: DecoderShape, base: string, adapter: Adapter): Promise<void> {
  await writeSafetensors(join(folder, ADAPTER_FILES.weights), adapterTensors(shape, adapter), { format: 'pt' })
  await writeFileAtomic(
    join(folder, ADAPTER_FILES.config),
    `${JSON.stringify(configOf(shape, base, adapter), null, 2)}\n`,
    { exported: true },
  )
}

export function adapterTensors(shape: DecoderShape, adapter: Adapter): FiledTensor[] {
  if (adapter.kind === 'lora') return filedFactors(shape, adapter, peftName)
  return [{ name: PROMPT_ROWS, dims: [adapter.tokens, shape.width], values: adapter.rows }]
}

export function peftName({ layer, part, factor }: Place): string {
  return `base_model.model.model.layers.${layer}.${moduleOf(part)}.${FACTORS[factor]}.weight`
}

const moduleOf = (part: AdaptedPart): string => hubPart(ADAPTED_MATRICES[part])

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
    target_modules: adapter.parts.map((part) => moduleOf(part).split('.')[1]),
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

type Config = z.infer<typeof configSchema>

/** @throws AdapterFileError, ModelFileError, SourceFileError */
export async function readAdapter(folder: string, shape: DecoderShape): Promise<Adapter> {
  const config = await configIn(folder)
  const access = await openFileAccess(join(folder, ADAPTER_FILES.weights))
  try {
    const tensors = new AdapterTensors(folder, access, await readSafetensors(access, ADAPTER_FILES.weights))
    const adapter = await adapterOf(folder, shape, config, tensors)
    tensors.end()
    return adapter
  } finally {
    await access.close()
  }
}

async function adapterOf(
  folder: string,
  shape: DecoderShape,
  config: Config,
  tensors: AdapterTensors,
): Promise<Adapter> {
  if (config.peft_type === 'PROMPT_TUNING') {
    const tokens = config.num_virtual_tokens
    return { kind: 'prompt', tokens, rows: await tensors.take(PROMPT_ROWS, [tokens, shape.width]) }
  }
  const { r, lora_alpha: alpha, use_rslora: isStabilised } = config
  return takeFactors(tensors, shape, {
    where: folder,
    named: peftName,
    rank: r,
    alpha: (own) => (isStabilised ? alpha * Math.sqrt(own) : alpha),
    from: 0,
    to: shape.layers,
  })
}

async function configIn(folder: string): Promise<Config> {
  const value = await documentIn(folder).catch((error: unknown) => {
    throw new AdapterFileError(folder, (error as Error).message.slice(0, 300))
  })
  const parsed = configSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  throw new AdapterFileError(folder, `${ADAPTER_FILES.config}, ${issue.path.join('.')}: ${issue.message}`)
}

async function documentIn(folder: string): Promise<unknown> {
  const access = await openFileAccess(join(folder, ADAPTER_FILES.config))
  try {
    if (access.size > MOST_CONFIG_BYTES) throw new Error(`${ADAPTER_FILES.config} is too large`)
    return parseJson(await access.read(0, access.size), ADAPTER_FILES.config)
  } finally {
    await access.close()
  }
}
