/** What the program that measures weight formats is told, and what it tells. JSON-safe. */
import type { BlockErrors, ModelManifest, WeightFormat } from '../../../models/index.ts'

export interface QualityTask {
  readonly manifest: ModelManifest
  readonly storeDirectory: string
  /** Folder for small graphs and, for the speed, one block's files at a time; the parent removes it. */
  readonly workDirectory: string
  /** On its rows the errors of the layers are measured. */
  readonly calibration: MeasuredText
  /** On its rows the whole model is measured: text that no layer's format was chosen by. */
  readonly heldOut: MeasuredText
  /** The residual's largest magnitude is measured on it as well. */
  readonly range: string
  /** Of each block; none for the embedding. */
  readonly candidates: readonly (readonly Candidate[])[]
  /** Models to be made, by what a square of relative error costs beside memory: the dearer, the more exact. */
  readonly prices: readonly number[]
  /** A model whose blocks' squared errors come to more is given up, unless it is the dearest. */
  readonly hopeless: number
  /** Block whose candidates are timed with the kernels of this machine; null: none is. */
  readonly timed: number | null
}

/** A format that a block may have. */
export interface Candidate {
  readonly weights: WeightFormat
  /** What the block takes in it, in any unit that all blocks share. */
  readonly memory: number
}

export interface MeasuredText {
  readonly paragraphs: readonly string[]
  /** Most tokens, taken in equal shares from the beginnings of the paragraphs. */
  readonly tokens: number
}

/** Blocks measured so far: twice the head. */
export interface QualityEvent {
  readonly done: number
}

export interface WholeResult {
  readonly price: number
  /** Of each block. */
  readonly weights: readonly WeightFormat[]
  readonly perplexity: number
  /** Mean Kullback-Leibler divergence of the next token's distribution from float32's, in nats. */
  readonly divergence: number
  /** Standard error of ln(perplexity / perplexity in float32): what the choice of the text moves it by. */
  readonly chance: number
}

export interface FormatSpeed {
  readonly weights: WeightFormat
  /** Milliseconds of a layer for one row alone, and for each of 64 rows. */
  readonly alone_ms: number
  readonly batched_ms: number
}

export interface QualityResult {
  readonly calibration_tokens: number
  readonly held_out_tokens: number
  /** Largest magnitude of the residual. */
  readonly largest: number
  readonly errors: readonly BlockErrors[]
  /** In float32. */
  readonly perplexity: number
  readonly wholes: readonly WholeResult[]
  readonly speeds: readonly FormatSpeed[]
}
