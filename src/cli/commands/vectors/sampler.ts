/** `dp-sampler`: samples of the discrete Gaussian from a seed, counted. */
import { discreteGaussian, nodePrimitives, ParameterRangeError, wordsFrom } from '../../../federated/index.ts'
import { realOf, realsOf, sizedBytesOf } from './numbers.ts'
import { wholeOf } from './suite.ts'
import type { Suite } from './suite.ts'

const HEAD = 4096
/** A minute of sampling. */
const MAX_COUNT = 1 << 27

export const samplerSuite: Suite = () => (input) => {
  const sigma = realOf(input, 'sigma')
  const count = wholeOf(input, 'count', 0, MAX_COUNT)
  const seed = sizedBytesOf(input, 'seed', 32)
  const edges = realsOf(input, 'edges')
  if (edges.some((edge, index) => !(index === 0 || edge > edges[index - 1]!) || Number.isNaN(edge))) {
    throw new ParameterRangeError('the edges do not rise')
  }
  const stream = nodePrimitives.chacha20(seed, new Uint8Array(12))
  const sample = discreteGaussian(
    wordsFrom((length) => stream.next(length)),
    sigma,
  )
  const counts = Array.from({ length: edges.length + 1 }, () => 0)
  const head: number[] = []
  let [sum, squares] = [0n, 0n]
  // Numbers until they would lose a unit.
  let [partial, partialSquares] = [0, 0]
  for (let index = 0; index < count; index++) {
    const value = sample()
    if (index < HEAD) head.push(value)
    counts[cellOf(edges, value)]!++
    partial += value
    partialSquares += value * value
    if (partialSquares > 2 ** 50 || Math.abs(partial) > 2 ** 50) {
      // One square above 2^53 is not a whole double any more.
      squares +=
        value * value > 2 ** 50 ? BigInt(partialSquares - value * value) + BigInt(value) ** 2n : BigInt(partialSquares)
      sum += BigInt(partial)
      ;[partial, partialSquares] = [0, 0]
    }
  }
  return { counts, head, sum: shown(sum + BigInt(partial)), sum_squares: shown(squares + BigInt(partialSquares)) }
}

function cellOf(edges: readonly number[], value: number): number {
  let [low, high] = [0, edges.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (edges[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low
}

function shown(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}
