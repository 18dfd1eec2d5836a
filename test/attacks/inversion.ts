/** E1: records out of gradients, out of sums of gradients, and out of rounds whose members were given different models. */
import { createSeeded } from '../../src/data/index.ts'
import { clipToNorm, discreteGaussian, distributedEpsilon, shareSigmaOf, wordsFrom } from '../../src/federated/index.ts'
import { hash, header, member, readOut, runRound } from '../federated/support/round.ts'
import { codeOf, least, most } from './attack.ts'
import type { Attack, Outcome, Size } from './attack.ts'
import { gradientOf, inverted, randomRecords, recovered, sumOf, trapNetwork } from './network.ts'
import type { Network } from './network.ts'
import { systemRandom } from '../../src/util/index.ts'

const INPUTS = 30
const HIDDEN = 256
/** Standard deviations of a pre-activation are sqrt(30): a unit is active for one record in a hundred or so. */
const BIAS = -11

function attempt(
  records: number,
  seed: number,
  change: (each: Float64Array[]) => Float64Array,
  bias = BIAS,
): ReturnType<typeof recovered> {
  const seeded = createSeeded(seed, 'inversion')
  const network: Network = trapNetwork(INPUTS, HIDDEN, bias, seeded)
  const rows = randomRecords(records, INPUTS, seeded)
  const gradients = rows.map((row, index) => gradientOf(network, row, index % 2))
  return recovered(rows, inverted(change(gradients), network))
}

const plain = (each: Float64Array[]): Float64Array => sumOf(each)

/** What leaves five sites under the default policy: each record clipped, noise in shares, epsilon 3 over 100 sums. */
export function protectedSum(each: Float64Array[]): Float64Array {
  const words = wordsFrom((length) => systemRandom().bytes(length))
  const sigma = shareSigmaOf(Z, 1, 16, 4)
  const noise = discreteGaussian(words, sigma)
  const sum = sumOf(each.map((gradient) => Float64Array.from(clipToNorm(gradient, 1).values)))
  return sum.map((value) => value + Array.from({ length: 4 }, noise).reduce((a, b) => a + b, 0) / 2 ** 16)
}

/** Noise of that policy; its price is computed, so that the claim is one of the accountant's. */
const Z = 4

function floor(size: Size): number {
  let best = 0
  for (let seed = 0; seed < (size === 'all' ? 20 : 3); seed++) {
    const seeded = createSeeded(seed, 'floor')
    const rows = randomRecords(64, INPUTS, seeded)
    best = Math.max(best, recovered(rows, randomRecords(HIDDEN, INPUTS, seeded)).best)
  }
  return best
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

export const singleGradient: Attack = {
  id: 'E1a',
  name: 'records out of the gradient of one site',
  control: () => {
    const seeds = [1, 2, 3, 4, 5, 6, 7, 8]
    const one = mean(seeds.map((seed) => attempt(1, seed, plain, 0).share))
    const eight = mean(seeds.map((seed) => attempt(8, seed, plain).share))
    return Promise.resolve([least('recovered of 1', one, 0.99), least('recovered of 8', eight, 0.6)])
  },
  defended: (size) => {
    const few = Array.from({ length: 4 }, (_, site) => [site, 1, 2])
    // Four sites of two records each: 8 are fewer than the least.
    const refused = codeOf(() => runRound(header({ d: 3 }), few, undefined, { records: 2, minimumRecords: 64 }))
    const outcome = attempt(64, 1, protectedSum)
    const limit = floor(size) + 0.05
    return Promise.resolve([
      {
        what: `fewer than the least records: ${refused}`,
        value: Number(refused === 'min-records' || refused === 'threshold'),
        holds: refused !== 'done',
      },
      most('recovered of 64 with clip and noise', outcome.share, 0),
      most('best cosine (chance + 0.05)', outcome.best, limit),
    ])
  },
}

/** Chi-square of the low bytes of words: near 1 or 0 is no sign of chance. 255 degrees are near normal. */
function uniformity(words: Uint32Array): number {
  const counts = new Float64Array(256)
  for (const word of words) counts[word & 255]!++
  const expected = words.length / 256
  const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  return (chi - 255) / Math.sqrt(2 * 255)
}

export const sumOfSites: Attack = {
  id: 'E1b',
  name: 'records out of the sum of five sites',
  control: () => {
    const shares = [1, 2, 3, 4, 5, 6].map((seed) => attempt(5, seed, plain, -9).share)
    return Promise.resolve([least('recovered, one record a site', mean(shares), 0.6)])
  },
  defended: (size) => {
    const seeds = Array.from({ length: size === 'all' ? 20 : 2 }, (_, seed) => seed + 100)
    const shares = seeds.map((seed) => attempt(320, seed, protectedSum).share)
    const noise = {
      n: 4,
      clip: 1,
      f: 16,
      d: HIDDEN * (INPUTS + 2),
      shareSigma: shareSigmaOf(Z, 1, 16, 4),
      mechanism: 'gaussian',
      rounding: 'worst',
    } as const
    const epsilon = distributedEpsilon(noise, 100, 1e-5, 0.05).epsilon
    const d = 1 << 16
    const zeros = Array.from({ length: 5 }, () => Array.from({ length: d }, () => 0))
    const { vectors } = runRound(header({ d }), zeros)
    const packed = [...vectors.values()][0]!
    const deviation = uniformity(new Uint32Array(new Uint8Array(packed).buffer))
    return Promise.resolve([
      most(`recovered in ${seeds.length} seeds`, Math.max(...shares), 0),
      most('its epsilon for 100 sums, sampled 1 in 20', epsilon, 3),
      most('masked vector of one site: deviation of chi-square from chance', Math.abs(deviation), 2.58),
    ])
  },
}

export const inconsistentModels: Attack = {
  id: 'E1c',
  name: 'another model for each member',
  control: () => {
    // Others are given a model of which they have no gradient: the sum is that of one site.
    const seeded = createSeeded(9, 'inconsistent')
    const network = trapNetwork(INPUTS, HIDDEN, 0, seeded)
    const [row] = randomRecords(1, INPUTS, seeded)
    const victim = gradientOf(network, row!, 1)
    const sum = sumOf([victim, new Float64Array(victim.length), new Float64Array(victim.length)])
    return Promise.resolve([least('recovered', recovered([row!], inverted(sum, network)).share, 1)])
  },
  defended: () => {
    const own = header({ d: 3 })
    const other = header({ d: 3, model: hash('a trap') })
    const members = [0, 1, 2, 3].map((name) => member(name, 4, name === 0 ? other : own, [1, 2, 3]))
    const roster = members.map(({ advertisement }) => advertisement)
    const ends = members.map((one) => codeOf(() => one.roster(roster)))
    const outcomes: Outcome[] = [
      least('members that end the round before any mask', ends.filter((end) => end === 'bad-signature').length, 4),
      most(
        'vectors that were sent',
        members.filter((one) => codeOf(() => readOut(one.ciphertexts([]))) === 'done').length,
        0,
      ),
    ]
    return Promise.resolve(outcomes)
  },
}
