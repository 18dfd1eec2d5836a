/** Numbers in whole units of 2^-f: rounded by chance, with a site's share of the noise. */
import { addDiscreteGaussian } from '../privacy/discrete-gaussian.ts'
import { fillWords } from '../privacy/words.ts'
import type { Words } from '../privacy/words.ts'
import { TrainerError } from '../plan/errors.ts'

const TWO32 = 2 ** 32
/** Numbers whose words are drawn together. */
const TOGETHER = 4096

/**
 * Each number, times `unit`, up or down to a whole one, so that it is right on average.
 * @param rounded may be `reals`: of a large model each vector more is as dear as the noise
 * @throws TrainerError when a number is not finite
 */
export function roundedByChance(
  words: Words,
  site: string,
  reals: Float64Array,
  unit: number,
  rounded: Float64Array = new Float64Array(reals.length),
): Float64Array {
  const drawn = new Uint32Array(TOGETHER)
  for (let from = 0; from < reals.length; from += TOGETHER) {
    const count = Math.min(TOGETHER, reals.length - from)
    fillWords(words, count === TOGETHER ? drawn : drawn.subarray(0, count))
    // NaN as soon as one of them is not finite: a question for each would take longer than all else.
    let nothing = 0
    for (let index = 0; index < count; index++) {
      const scaled = reals[from + index]! * unit
      const below = Math.floor(scaled)
      nothing += 0 * below
      // Without a branch, which would be guessed wrong every other time: a model has millions of coordinates.
      rounded[from + index] = below + Number(drawn[index]! / TWO32 < scaled - below)
    }
    if (Number.isNaN(nothing))
      throw new TrainerError(site, `coordinate ${from + firstOdd(rounded.subarray(from))} is not finite`)
  }
  return rounded
}

/** What was not finite stays so when it is rounded. */
function firstOdd(values: Float64Array): number {
  return values.findIndex((value) => !Number.isFinite(value))
}

/** In their place. @param sigma of a share, in whole units */
export function noised(words: Words, integers: Float64Array, sigma: number): Float64Array {
  addDiscreteGaussian(words, sigma, integers)
  return integers
}
