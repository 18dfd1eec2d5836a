/** From an architecture and what a file says to the shape of a model, whatever the file's format. */
import { ModelFileError } from '../errors.ts'
import { mostPositions } from '../llama/head-width.ts'
import { BIASED_MATRICES } from '../manifest.ts'
import type { BiasedMatrix, DecoderShape } from '../manifest.ts'
import type { Architecture } from './architecture.ts'
import { checkFactors } from './rope-scaling.ts'
import type { RopeScaling } from './rope-scaling.ts'

export interface RopeFacts extends RopeScaling {
  readonly base: number
  /** Elements of each head that are rotated. */
  readonly dim: number
  readonly interleaved: boolean
}

export interface WindowFacts {
  readonly size: number
  readonly layers: readonly number[]
}

export interface ShapeFacts extends Pick<
  DecoderShape,
  | 'layers'
  | 'width'
  | 'hidden'
  | 'heads'
  | 'kv_heads'
  | 'head_dim'
  | 'vocabulary'
  | 'context'
  | 'norm_epsilon'
  | 'norm_offset'
> {
  readonly rope: RopeFacts
  readonly window: WindowFacts | null
  /** Of the layers with a window. */
  readonly windowRopeBase: number | null
  readonly unrotated: readonly number[]
  /** Matrices that have a bias in this file, beside those that the architecture wants. */
  readonly biases: ReadonlySet<BiasedMatrix>
  readonly attentionScale: number | null
  readonly attentionSoftcap: number | null
  readonly logitSoftcap: number | null
}

/**
 * What is as a Llama has it is left out, so that the same model has one digest.
 * @throws ModelFileError when the facts contradict each other
 */
export function decoderShape(architecture: Architecture, facts: ShapeFacts): DecoderShape {
  const { layers, width, hidden, heads, kv_heads, head_dim, vocabulary, norm_epsilon, rope } = facts
  if (heads % kv_heads !== 0)
    throw new ModelFileError('key and value heads', `${kv_heads} do not divide ${heads} heads`)
  if (rope.dim % 2 !== 0 || rope.dim > head_dim) {
    throw new ModelFileError('rotary dimensions', `${rope.dim} is not an even number up to ${head_dim}`)
  }
  if (rope.factors.length > 0) checkFactors('rope factors', rope.factors, rope.dim / 2)
  const context = Math.min(facts.context, mostPositions({ head_dim }))
  const { graph } = architecture
  const biases = BIASED_MATRICES.filter((matrix) => facts.biases.has(matrix) || graph.biases?.includes(matrix) === true)
  const scaled = architecture.scaledEmbedding === true ? Math.sqrt(width) : null
  const attention = facts.attentionScale === 1 / Math.sqrt(head_dim) ? null : facts.attentionScale
  return {
    family: architecture.family,
    layers,
    width,
    hidden,
    heads,
    kv_heads,
    head_dim,
    vocabulary,
    context,
    norm_epsilon,
    rope_base: rope.base,
    rope_dim: rope.dim,
    rope_interleaved: rope.interleaved,
    rope_factors: rope.factors,
    ...given('rope_amplitude', rope.amplitude),
    ...given('rope_long', rope.long !== undefined && rope.long.beyond < context ? rope.long : null),
    ...given('unrotated_layers', facts.unrotated.length === 0 ? null : facts.unrotated),
    ...given('window', windowShape(facts, context)),
    ...given('norm', graph.norm),
    ...given('norm_offset', facts.norm_offset),
    ...given('qk_norm', graph.qk_norm),
    ...given('post_norms', graph.post_norms),
    ...given('activation', graph.activation),
    ...given('biases', biases.length === 0 ? null : biases),
    ...given('embedding_scale', scaled),
    ...given('attention_scale', attention),
    ...given('attention_softcap', facts.attentionSoftcap),
    ...given('logit_softcap', facts.logitSoftcap),
  }
}

/** A window that shows all that there can be is none, unless its layers are rotated in their own way. */
function windowShape({ window, windowRopeBase, rope }: ShapeFacts, context: number): DecoderShape['window'] | null {
  if (window === null || window.layers.length === 0) return null
  const plain = rope.factors.length === 0 && rope.amplitude === undefined
  const own = windowRopeBase === null || (plain && windowRopeBase === rope.base) ? null : windowRopeBase
  if (own === null && window.size >= context) return null
  return { size: Math.min(window.size, context), layers: window.layers, ...given('rope_base', own) }
}

/** Spread into an object: the field, or nothing. */
function given<K extends string, T>(key: K, value: T | null | undefined): { readonly [key in K]?: T } {
  return value === null || value === undefined ? {} : ({ [key]: value } as { readonly [key in K]: T })
}
