/** Members that train nothing, where single updates are seen at all: under secure sums nobody can tell. */
import { l2Norm } from '../privacy/clipping.ts'

/** An update this much smaller than the median of norms is none. */
const NOTHING = 1e-6
/** An update that points where the last step of the model did, to this cosine, was not computed on data. */
const ECHO = 0.999

/**
 * Places of updates that are zero, or the last step of the global model over again with a little noise.
 * @param last the step that the model took in the round before; zeros: none
 */
export function freeRiders(updates: readonly Float64Array[], last: Float64Array): number[] {
  const norms = updates.map((update) => l2Norm(update))
  const median = norms.toSorted((left, right) => left - right)[Math.floor(norms.length / 2)] ?? 0
  const length = l2Norm(last)
  return updates.flatMap((update, place) => {
    const norm = norms[place]!
    if (norm <= NOTHING * median) return [place]
    if (length === 0) return []
    let product = 0
    for (const [index, value] of update.entries()) product += value * last[index]!
    return Math.abs(product) / (norm * length) >= ECHO ? [place] : []
  })
}
