/** Manifests from peers and from disk: hostile until every name, size and shape is what the model's shape asks for. */
import { createHash } from 'node:crypto'
import * as z from 'zod'
import { isAddress } from '../store/index.ts'
import { canonicalJson } from '../util/index.ts'
import { makeBlock, planBlocks } from './blocks.ts'
import { EMBEDDING, MAX_LAYER_TENSORS } from './decoder-tensors.ts'
import { SOURCE_TYPES, sourceBytes } from './dequantize/index.ts'
import { ManifestError } from './errors.ts'
import type { Block, DecoderShape, ModelManifest, SourceType } from './manifest.ts'
import { isModelName } from './model-name.ts'
import * as limits from './readers/limits.ts'
import { checkShape, shapeSchema } from './shape-check.ts'

/** A tokenizer of a million tokens with merges, as JSON. */
const MAX_TOKENIZER_BYTES = 1 << 28
const MAX_TEXT = 500
/** 1,024 layers of nine tensors at some 200 bytes of JSON each are under 2 MB, of sixteen under 4. */
export const MAX_MANIFEST_BYTES = 1 << 22

const whole = (least: number, most: number): z.ZodNumber => z.number().int().min(least).max(most)
const bytes = z.number().int().min(0)
const address = z.string().refine(isAddress, 'not a blob address')
const sourceType = z.enum(Object.keys(SOURCE_TYPES) as [SourceType, ...SourceType[]])
const weights = z.enum(['auto', 'q4', 'int8', 'q8', 'f16', 'f32'])

const tensorSchema = z.strictObject({
  name: z.string().min(1).max(limits.MAX_TENSOR_NAME_BYTES),
  type: sourceType,
  shape: z
    .array(whole(1, limits.MAX_HIDDEN * 2))
    .min(1)
    .max(limits.MAX_DIMENSIONS),
  bytes,
  address,
})

const blockSchema = z.strictObject({
  kind: z.enum(['embedding', 'decoder', 'head']),
  tensors: z.array(tensorSchema).min(1).max(MAX_LAYER_TENSORS),
  weights,
  bytes,
  memory: bytes,
  flops: bytes,
  kv_bytes: bytes,
})

const figure = z.number().min(0)
const share = figure.optional()

const qualitySchema = z.strictObject({
  asked: weights,
  calibration: z.string().regex(/^[\w:.-]{1,80}$/),
  calibration_tokens: bytes,
  held_out_tokens: bytes,
  perplexity: figure,
  perplexity_float32: figure,
  divergence: figure,
  chance: figure,
  passed: z.boolean(),
  memory_float32: bytes,
  errors: z
    .array(z.strictObject({ auto: share, q4: share, int8: share, q8: share, f16: share, f32: share }))
    .max(limits.MAX_LAYERS + 2),
})

const manifestSchema = z.strictObject({
  schema: z.literal('weft.manifest/1'),
  model: z.string().refine(isModelName, 'not a model name'),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  license: z.string().max(MAX_TEXT),
  source: z.string().max(MAX_TEXT * 4),
  shape: shapeSchema,
  boundary: z.enum(['f16', 'f32']),
  tokenizer: z.strictObject({ address, bytes: bytes.max(MAX_TOKENIZER_BYTES) }),
  blocks: z
    .array(blockSchema)
    .min(3)
    .max(limits.MAX_LAYERS + 2),
  quality: qualitySchema.optional(),
})

/** SHA-256 of all that decides the numbers. */
export function manifestDigest(manifest: Pick<ModelManifest, 'shape' | 'blocks' | 'boundary' | 'tokenizer'>): string {
  const { shape, blocks, boundary, tokenizer } = manifest
  return createHash('sha256').update(canonicalJson({ shape, blocks, boundary, tokenizer })).digest('hex')
}

/**
 * A manifest whose every part belongs to its shape and whose digest is its own.
 * @throws ManifestError
 */
export function checkManifest(value: unknown): ModelManifest {
  const parsed = manifestSchema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new ManifestError(`${issue.path.join('.') || 'manifest'}: ${issue.message}`)
  }
  const manifest = parsed.data as ModelManifest
  checkShape(manifest.shape)
  checkBlocks(manifest)
  const { blocks, quality } = manifest
  if (quality !== undefined && quality.errors.length !== blocks.length) {
    throw new ManifestError(`errors of ${quality.errors.length} blocks for ${blocks.length}`)
  }
  if (manifestDigest(manifest) !== manifest.digest) throw new ManifestError('its digest is not that of its content')
  return manifest
}

function checkBlocks(manifest: ModelManifest): void {
  const { shape, blocks } = manifest
  const tied = blocks.at(-1)!.tensors.at(-1)!.name === EMBEDDING
  const plan = planBlocks(shape, tied)
  if (plan.length !== blocks.length) throw new ManifestError(`${blocks.length} blocks for ${shape.layers} layers`)
  for (const [index, block] of blocks.entries()) checkBlock(block, plan[index]!, index, shape)
  if (tied && blocks.at(-1)!.tensors.at(-1)!.address !== blocks[0]!.tensors[0]!.address) {
    throw new ManifestError('the head names another embedding than the embedding')
  }
}

function checkBlock(
  block: Block,
  plan: ReturnType<typeof planBlocks>[number],
  index: number,
  shape: DecoderShape,
): void {
  if (block.kind !== plan.kind || block.tensors.length !== plan.tensors.length) {
    throw new ManifestError(`block ${index} is not the ${plan.kind} block that stands there`)
  }
  for (const [at, tensor] of block.tensors.entries()) {
    const wanted = plan.tensors[at]!
    if (tensor.name !== wanted.name || tensor.shape.join() !== wanted.shape.join()) {
      throw new ManifestError(`block ${index} has not the tensor ${wanted.name} of [${wanted.shape.join(', ')}]`)
    }
    const columns = tensor.shape.at(-1)!
    const elements = tensor.shape.reduce((product, size) => product * size, 1)
    if (columns % SOURCE_TYPES[tensor.type].block !== 0 || tensor.bytes !== sourceBytes(tensor.type, elements)) {
      throw new ManifestError(`${tensor.name} of ${tensor.type} does not have ${tensor.bytes} bytes`)
    }
  }
  // Placement believes these figures: a peer could draw work to itself, or drown another one, by lying about them.
  const costs = makeBlock(block.kind, block.tensors, block.weights, shape)
  for (const cost of ['bytes', 'memory', 'flops', 'kv_bytes'] as const) {
    if (costs[cost] !== block[cost])
      throw new ManifestError(`block ${index} says ${cost} ${block[cost]}, it is ${costs[cost]}`)
  }
}
