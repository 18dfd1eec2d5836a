/** Manifests of graphs from peers and from disk: hostile until checked. Costs are claims; the skeleton has the facts. */
import { createHash } from 'node:crypto'
import * as z from 'zod'
import { DATA_TYPES, OPTIMIZATION_LEVELS, shown } from '../../onnx/index.ts'
import { isAddress } from '../../store/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { ManifestError } from '../errors.ts'
import { checkManifest } from '../manifest-check.ts'
import { isModelName } from '../model-name.ts'
import { checkText, textSchema } from './check-text.ts'
import type { AnyManifest, GraphManifest } from './manifest.ts'

const MAX_TEXT = 2_000
/** The engine's names are as long as exporters make their paths. */
const MAX_NAME = 1_024
const MAX_VALUES = 4_096
const MAX_RANK = 64
/** Each is at least a node; the manifest's own size bounds it further. */
const MAX_BLOCKS = 16_384

const size = z.number().int().min(0)
const name = z.string().max(MAX_NAME)
const value = z.strictObject({
  name,
  type: z.string().max(MAX_TEXT),
  shape: z
    .array(z.union([z.number().int(), z.string().max(MAX_TEXT), z.null()]))
    .max(MAX_RANK)
    .nullable(),
})
const tensor = z.strictObject({
  name,
  type: z.enum(['graph', ...Object.keys(DATA_TYPES)]),
  shape: z.array(size).max(MAX_RANK),
  bytes: size,
  address: z.string().refine(isAddress, 'not a blob address'),
})
const block = z.strictObject({
  kind: z.literal('graph'),
  tensors: z.array(tensor).min(1),
  bytes: size,
  memory: size,
  flops: z.number().min(0),
  kv_bytes: z.literal(0),
  boundary_bytes: z.number().min(0),
})
const manifestSchema = z.strictObject({
  schema: z.literal('weft.manifest/1'),
  kind: z.literal('graph'),
  model: z.string().refine(isModelName, 'not a model name'),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  license: z.string().max(MAX_TEXT),
  source: z.string().max(MAX_TEXT),
  boundary: z.literal('f32'),
  graph: z.strictObject({
    inputs: z.array(value).max(MAX_VALUES),
    outputs: z.array(value).max(MAX_VALUES),
    optimization: z.enum(OPTIMIZATION_LEVELS),
    proven: z.array(z.number().int().min(1)).max(MAX_BLOCKS),
    half_as_float: z.boolean(),
  }),
  text: textSchema.optional(),
  blocks: z.array(block).min(1).max(MAX_BLOCKS),
})

/** SHA-256 of what the model is. What was proven of it belongs to the processor that proved it. */
export function graphDigest({ graph, text, blocks }: Pick<GraphManifest, 'graph' | 'text' | 'blocks'>): string {
  const { inputs, outputs } = graph
  const what = { inputs, outputs, blocks, ...(text === undefined ? {} : { text }) }
  return createHash('sha256').update(canonicalJson(what)).digest('hex')
}

/** A manifest of either kind. @throws ManifestError */
export function checkAnyManifest(input: unknown): AnyManifest {
  const isGraph = typeof input === 'object' && input !== null && 'kind' in input
  return isGraph ? checkGraphManifest(input) : checkManifest(input)
}

/** @throws ManifestError */
export function checkGraphManifest(input: unknown): GraphManifest {
  const parsed = manifestSchema.safeParse(input)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new ManifestError(`${issue.path.join('.') || 'manifest'}: ${issue.message}`)
  }
  const manifest = parsed.data as GraphManifest
  const skeleton = manifest.blocks[0]!.tensors[0]!
  const known = new Map<string, string>()
  for (const [index, { tensors, bytes }] of manifest.blocks.entries()) {
    const [first, ...weights] = tensors
    if (first!.name !== '' || first!.type !== 'graph' || first!.address !== skeleton.address) {
      throw new ManifestError(`block ${index} does not begin with the skeleton`)
    }
    const names = new Set(weights.map((weight) => weight.name))
    if (names.size !== weights.length || names.has('')) throw new ManifestError(`block ${index} names a tensor twice`)
    for (const weight of weights) {
      const text = canonicalJson(weight)
      if ((known.get(weight.name) ?? text) !== text)
        throw new ManifestError(`block ${index} names another ${shown(weight.name)}`)
      known.set(weight.name, text)
    }
    if (weights.reduce((sum, weight) => sum + weight.bytes, 0) !== bytes) {
      throw new ManifestError(`block ${index} says ${bytes} bytes, and its tensors have others`)
    }
  }
  const { proven } = manifest.graph
  if (proven.some((cut, at) => cut >= manifest.blocks.length || cut <= (proven[at - 1] ?? 0))) {
    throw new ManifestError('a cut that was proven is none')
  }
  if (manifest.text !== undefined) checkText(manifest.graph, manifest.text)
  if (graphDigest(manifest) !== manifest.digest) throw new ManifestError('its digest is not that of its content')
  return manifest
}
