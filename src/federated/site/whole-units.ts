/** Numbers in whole units of 2^-f: rounded by chance, with a site's share of the noise. */
import { addDiscreteGaussian } from '../privacy/discrete-gaussian.ts'
import { fillWords } from '../privacy/words.ts'
import type { Words } from '../privacy/words.ts'
import { TrainerError } from '../plan/errors.ts'

const TWO32 = 2 ** 32
/** Numbers whose words are drawn together. */
const TOGETHER = 4096

/**
 * Each number up or down, so that it is right on average.
 * @param rounded may be `reals`: of a large model each vector more is as dear as the noise
 * @throws TrainerError when a number is not finite
 */
export function roundedByChance(
  words: Words,
  site: string,
  reals: Float64Array,
  f: number,
  rounded: Float64Array = new Float64Array(reals.length),
): Float64Array {
  const unit = 2 ** f
  const drawn = new Uint32Array(TOGETHER)
  for (let from = 0; from < reals.length; from += TOGETHER) {
    const end = Math.min(from + TOGETHER, reals.length)
    fillWords(words, end - from === TOGETHER ? drawn : drawn.subarray(0, end - from))
    for (let index = from; index < end; index++) {
      const scaled = reals[index]! * unit
      const below = Math.floor(scaled)
      if (!Number.isFinite(below)) throw new TrainerError(site, `coordinate ${index} is ${reals[index]}`)
      // Without a branch, which would be guessed wrong every other time: a model has millions of coordinates.
      rounded[index] = below + Number(drawn[index - from]! / TWO32 < scaled - below)
    }
  }
  return rounded
}

/** In their place. @param sigma of a share, in whole units */
export function noised(words: Words, integers: Float64Array, sigma: number): Float64Array {
  addDiscreteGaussian(words, sigma, integers)
  return integers
}
