/** From what was measured to what is chosen: no figure of a machine's speed comes in here. */
import type { ModelManifest, WeightFormat } from '../models/index.ts'
import type { QualityResult, WholeResult } from '../pipeline/index.ts'
import { makeBlock } from '../models/index.ts'

/**
 * What the chosen formats may move the next token's distribution by, in nats a token: as much as a rise of the perplexity
 * by 1 %, on text that is like what the model would write. The divergence decides and not the perplexity alone, because it
 * compares whole distributions: on some hundred tokens the perplexities of two equally good forms lie half a percent apart.
 */
export const MOST_DIVERGENCE = 0.01
/** The rise of the perplexity that is allowed beyond what chance explains. */
export const MOST_RISE = 0.01
/** Standard errors that chance explains. */
const SIGMAS = 2

/**
 * Prices of a square of relative error, in layers of float32: 4 bits are taken in place of 8 below an error of 0.3, 0.15,
 * 0.09 and 0.05, float32 in place of 8 bits above one of 0.03 and 0.016; the last price buys float32 for all.
 */
export const PRICES: readonly number[] = [1, 4, 12, 40, 800, 3000, 1e12]
/** Of SmolLM2-135M a sum of squared errors of 0.02 diverges by 0.006; a model that bears ten times that is not known. */
export const HOPELESS = 0.25

export function isWithinBound(whole: WholeResult, float32: number): boolean {
  const rise = Math.log(whole.perplexity / float32)
  return whole.divergence <= MOST_DIVERGENCE && rise <= Math.log(1 + MOST_RISE) + SIGMAS * whole.chance
}

export interface Verdict {
  readonly whole: WholeResult
  readonly passed: boolean
}

/** The smallest whole within the bound, else the most exact one. */
export function verdictOf(manifest: ModelManifest, { wholes, perplexity }: QualityResult): Verdict {
  const passing = wholes.filter((whole) => isWithinBound(whole, perplexity))
  const sizes = new Map(passing.map((whole) => [whole, memoryOf(manifest, whole.weights)]))
  const [best] = passing.toSorted((a, b) => sizes.get(a)! - sizes.get(b)!)
  return { whole: best ?? wholes.at(-1)!, passed: best !== undefined }
}

function memoryOf({ blocks, shape }: ModelManifest, weights: readonly WeightFormat[]): number {
  return blocks.reduce(
    (sum, { kind, tensors }, index) => sum + makeBlock(kind, tensors, weights[index]!, shape).memory,
    0,
  )
}
