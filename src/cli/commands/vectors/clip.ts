/** `clip`: norms and bounds. */
import { clipToNorm, nextBound, NotFiniteError, ParameterRangeError, splitNoise } from '../../../federated/index.ts'
import { objectsOf, realOf, realsOf, shownReal } from './numbers.ts'
import { Refusal } from './suite.ts'
import type { Suite, VectorCase } from './suite.ts'

export const clipSuite: Suite = () => (input) => {
  if (input['op'] === 'l2') return l2(input)
  if (input['op'] === 'adaptive') return adaptive(input)
  if (input['op'] === 'split') return { z_delta: splitNoise(realOf(input, 'z'), realOf(input, 'sigma_b')) }
  throw new Refusal('malformed', '"op" is none of l2, adaptive, split')
}

function l2(input: VectorCase): VectorCase {
  const { norm, factor, fits, values } = clipToNorm(realsOf(input, 'x'), realOf(input, 'C'))
  return { norm: shownReal(norm), factor, bit: fits ? 1 : 0, clipped: [...values] }
}

function adaptive(input: VectorCase): VectorCase {
  const settings = { eta: realOf(input, 'eta'), quantile: realOf(input, 'quantile') }
  const expected = input['expected'] === undefined ? undefined : realOf(input, 'expected')
  let bound = realOf(input, 'C0')
  const [bits, bounds]: [number[], number[]] = [[], []]
  for (const round of objectsOf(input, 'rounds')) {
    const norms = realsOf(round, 'norms')
    for (const [index, norm] of norms.entries()) {
      if (!Number.isFinite(norm)) throw new NotFiniteError(`norm ${index} is ${norm}`, { index })
      if (norm < 0) throw new ParameterRangeError(`norm ${index} is ${norm}`, { index })
    }
    const fitting = norms.filter((norm) => norm <= bound).length
    bound = nextBound(bound, fitting + realOf(round, 'noise', 0), expected ?? norms.length, settings)
    bits.push(fitting)
    bounds.push(bound)
  }
  return { bits, C: bounds }
}
