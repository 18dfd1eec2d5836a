/** Shapes in manifests: every field within its limits, and no two that contradict each other. */
import * as z from 'zod'
import { ManifestError } from './errors.ts'
import { mostPositions } from './llama/head-width.ts'
import { BIASED_MATRICES } from './manifest.ts'
import type { DecoderShape } from './manifest.ts'
import * as limits from './readers/limits.ts'

const whole = (least: number, most: number): z.ZodNumber => z.number().int().min(least).max(most)
/** Of a scale or a cap: published ones lie between 0.04 and 200. */
const factor = z.number().min(limits.MIN_FACTOR).max(limits.MAX_FACTOR)
const layerList = z
  .array(whole(0, limits.MAX_LAYERS - 1))
  .min(1)
  .max(limits.MAX_LAYERS)
const ropeBase = z.number().min(1).max(limits.MAX_ROPE_BASE)
const ropeFactors = z.array(z.number().positive()).max(limits.MAX_WIDTH / 2)

export const shapeSchema = z.strictObject({
  // A name for people: graphs are made from the other fields alone.
  family: z.string().regex(/^[a-z][a-z0-9_]{0,31}$/),
  layers: whole(1, limits.MAX_LAYERS),
  width: whole(1, limits.MAX_WIDTH),
  hidden: whole(1, limits.MAX_HIDDEN),
  heads: whole(1, limits.MAX_HEADS),
  kv_heads: whole(1, limits.MAX_HEADS),
  head_dim: whole(2, limits.MAX_WIDTH),
  vocabulary: whole(1, limits.MAX_VOCABULARY),
  context: whole(1, limits.MAX_CONTEXT),
  norm_epsilon: z.number().min(0).max(1),
  rope_base: ropeBase,
  rope_dim: whole(2, limits.MAX_WIDTH).multipleOf(2),
  rope_interleaved: z.boolean(),
  rope_factors: ropeFactors,
  rope_amplitude: factor.exactOptional(),
  rope_long: z.strictObject({ beyond: whole(1, limits.MAX_CONTEXT), factors: ropeFactors }).exactOptional(),
  unrotated_layers: layerList.exactOptional(),
  window: z
    .strictObject({ size: whole(1, limits.MAX_CONTEXT), layers: layerList, rope_base: ropeBase.exactOptional() })
    .exactOptional(),
  norm: z.literal('layer').exactOptional(),
  norm_offset: z.literal(1).exactOptional(),
  qk_norm: z.literal(true).exactOptional(),
  post_norms: z.literal(true).exactOptional(),
  activation: z.literal('gelu_tanh').exactOptional(),
  biases: z.array(z.enum(BIASED_MATRICES)).min(1).max(BIASED_MATRICES.length).exactOptional(),
  embedding_scale: factor.exactOptional(),
  attention_scale: factor.exactOptional(),
  attention_softcap: factor.exactOptional(),
  logit_softcap: factor.exactOptional(),
})

/** @throws ManifestError */
export function checkShape(shape: DecoderShape): void {
  if (shape.heads % shape.kv_heads !== 0) throw new ManifestError('kv_heads does not divide heads')
  if (shape.context > mostPositions(shape)) {
    throw new ManifestError(
      `a context of ${shape.context} is over ${mostPositions(shape)} for heads of ${shape.head_dim}`,
    )
  }
  if (shape.rope_dim > shape.head_dim) throw new ManifestError('rope_dim is over head_dim')
  if (![0, shape.rope_dim / 2].includes(shape.rope_factors.length)) {
    throw new ManifestError('rope_factors are not one a pair')
  }
  const long = shape.rope_long
  if (long !== undefined && (long.factors.length !== shape.rope_factors.length || long.factors.length === 0)) {
    throw new ManifestError('rope_long has not one factor a pair, beside others for shorter texts')
  }
  if (long !== undefined && long.beyond >= shape.context) {
    throw new ManifestError(`rope_long begins beyond ${long.beyond}, and the context ends at ${shape.context}`)
  }
  for (const name of ['unrotated_layers', 'window'] as const) {
    const layers = name === 'window' ? shape.window?.layers : shape[name]
    if (layers?.every((layer, index) => layer > (layers[index - 1] ?? -1) && layer < shape.layers) === false) {
      throw new ManifestError(`the layers of ${name} are not layers of the model, each once and rising`)
    }
  }
  const biases = (shape.biases ?? []).map((matrix) => BIASED_MATRICES.indexOf(matrix))
  if (!biases.every((place, index) => place > (biases[index - 1] ?? -1))) {
    throw new ManifestError('biases are not each once and in the order of the tensors')
  }
  if (shape.norm === 'layer' && (shape.norm_offset !== undefined || shape.post_norms || shape.qk_norm)) {
    throw new ManifestError('norms with a mean go with no offset and with no further norms')
  }
}
