/**
 * E9: was this record among those that were trained on? Of the final model of a federation (canary-audit.ts), with and without privacy; and of
 * records of which each has a direction of its own, the worst case, held against what epsilon lets be known.
 */
import { createSeeded } from '../../src/data/index.ts'
import { clipToNorm, distributedEpsilon, discreteGaussian, shareSigmaOf, wordsFrom } from '../../src/federated/index.ts'
import { systemRandom } from '../../src/util/index.ts'
import { least, most, wanted } from './attack.ts'
import type { Attack, Size } from './attack.ts'
import { audited } from './canary-audit.ts'
import type { AuditPlan } from './canary-audit.ts'

const RECORDS = 100
/** More inputs than records: without noise each label is learnt by heart. */
const INPUTS = 120
const STEPS = 60
const [Q, DELTA, F] = [0.2, 1e-5, 16]
const EPSILON = 8

interface Record {
  readonly x: Float64Array
  readonly y: number
}

/** @param scale of the inputs: at 1 a record's gradient reaches the clip; at 0.5 it stays below */
function records(seed: number, scale: number): Record[] {
  const seeded = createSeeded(seed, 'canaries')
  return Array.from({ length: RECORDS }, () => ({
    x: Float64Array.from({ length: INPUTS }, () => (scale * seeded.normal()) / Math.sqrt(INPUTS)),
    y: seeded.below(2),
  }))
}

function score(weights: Float64Array, { x }: Record): number {
  let sum = 0
  for (const [index, value] of x.entries()) sum += value * weights[index]!
  return sum
}

function loss(weights: Float64Array, record: Record): number {
  const margin = (2 * record.y - 1) * score(weights, record)
  return Math.log1p(Math.exp(-margin))
}

/** What is done to gradients: a bound for each, and what is added to their sum. */
interface Mechanism {
  readonly clipped: (gradient: Float64Array) => Float64Array
  readonly noise: () => number
}

/** As a federation's sites do it; z 0 is plain. */
function ofWeft(z: number, _seed: number): Mechanism {
  if (z === 0) return { clipped: (gradient) => gradient, noise: () => 0 }
  const words = wordsFrom((length) => systemRandom().bytes(length))
  const sample = discreteGaussian(words, shareSigmaOf(z, 1, F, 1))
  return { clipped: (gradient) => clipToNorm(gradient, 1).values, noise: () => sample() / 2 ** F }
}

/** As papers write it, in floating point and without a line of weft: it leaks what this epsilon lets be known, and no more. */
function ofPapers(z: number, seed: number): Mechanism {
  const seeded = createSeeded(seed, 'ideal noise')
  return {
    clipped: (gradient) => gradient.map((value) => value / Math.max(1, Math.hypot(...gradient))),
    noise: () => z * seeded.normal(),
  }
}

/** DP-SGD on one site: z 0 is plain. */
function trainedOn(rows: readonly Record[], z: number, seed: number, { clipped, noise }: Mechanism): Float64Array {
  const seeded = createSeeded(seed, 'samples')
  let weights = new Float64Array(INPUTS)
  for (let step = 0; step < STEPS; step++) {
    const sum = new Float64Array(INPUTS)
    for (const row of rows) {
      if (z > 0 && seeded.uniform() >= Q) continue
      const error = 1 / (1 + Math.exp(-score(weights, row))) - row.y
      const gradient = row.x.map((value) => error * value)
      for (const [index, value] of clipped(gradient).entries()) sum[index]! += value
    }
    const rate = (z === 0 ? 1600 : 2 / Q) / rows.length
    weights = weights.map((value, index) => value - rate * (sum[index]! + noise()))
  }
  return weights
}

/** Area under the curve of the attacker who takes records of low loss for members. */
function attackArea(members: readonly number[], others: readonly number[]): number {
  let wins = 0
  for (const member of members) for (const other of others) wins += member < other ? 1 : member === other ? 0.5 : 0
  return wins / (members.length * others.length)
}

/**
 * What the attack proves at least: ln((TPR - delta) / FPR) over windows of losses, each rate moved by what chance may do
 * to both ends at 99 % (Dvoretzky, Kiefer, Wolfowitz: for all windows at once).
 */
function provenEpsilon(members: readonly number[], others: readonly number[]): number {
  const sorted = members.toSorted((left, right) => left - right)
  const edges = Array.from(
    { length: 41 },
    (_, step) => sorted[Math.min(sorted.length - 1, Math.floor((step * sorted.length) / 40))]!,
  )
  const slack = (n: number): number => 2 * Math.sqrt(Math.log(2 / 0.01) / (2 * n))
  let best = 0
  for (const low of edges) {
    for (const high of edges.filter((edge) => edge > low)) {
      const rate = (losses: readonly number[]): number =>
        losses.filter((value) => value >= low && value <= high).length / losses.length
      const [tpr, fpr] = [rate(members) - slack(members.length), rate(others) + slack(others.length)]
      if (tpr > DELTA && fpr < 1) best = Math.max(best, Math.log((tpr - DELTA) / fpr))
    }
  }
  return best
}

interface Attacked {
  readonly area: number
  /** Standard error of the area, by how much runs differ. */
  readonly error: number
  readonly proven: number
}

function attack(z: number, runs: number, scale: number, of = ofWeft): Attacked {
  const [members, others]: [number[], number[]] = [[], []]
  const areas: number[] = []
  for (let run = 0; run < runs; run++) {
    const [inside, outside] = [records(run, scale), records(1000 + run, scale)]
    const weights = trainedOn(inside, z, run, of(z, run))
    const [own, foreign] = [inside, outside].map((rows) => rows.map((row) => loss(weights, row)))
    areas.push(attackArea(own!, foreign!))
    members.push(...own!)
    others.push(...foreign!)
  }
  const mean = areas.reduce((sum, one) => sum + one, 0) / runs
  const spread = areas.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (runs - 1)
  return { area: mean, error: Math.sqrt(spread / runs), proven: provenEpsilon(members, others) }
}

/** Areas above it are beyond chance where nothing leaks: once in ten thousand. */
function beyondChance(one: Attacked, ideal: Attacked): number {
  return ideal.area + 3.8 * Math.hypot(one.error, ideal.error)
}

function epsilonOf(z: number): number {
  const noise = {
    n: 1,
    clip: 1,
    f: F,
    d: INPUTS,
    shareSigma: shareSigmaOf(z, 1, F, 1),
    mechanism: 'gaussian',
    rounding: 'worst',
  } as const
  return distributedEpsilon(noise, STEPS, DELTA, Q).epsilon
}

/** The least noise that stays within epsilon 8, by the accountant that a site uses. */
function multiplier(): number {
  let z = 0.5
  while (epsilonOf(z) > EPSILON) z += 0.05
  return z
}

const PRIVATE: AuditPlan = {
  privacy: { epsilon: EPSILON, delta: DELTA, sample_rate: Q },
  rounds: 20,
  local: { steps: 3, lr: 1 },
}
/** Every label by heart. */
const OVERFIT: AuditPlan = { privacy: 'off', rounds: 20, local: { steps: 50, lr: 1 } }

/** Of canaries in runs of whole federations, each with its own coin. */
async function audit(plan: AuditPlan, runs: number): Promise<{ readonly area: number; readonly proven: number }> {
  const [members, others]: [number[], number[]] = [[], []]
  let area = 0
  for (let run = 0; run < runs; run++) {
    const losses = await audited(plan, run)
    area += attackArea(losses.members, losses.others) / runs
    members.push(...losses.members)
    others.push(...losses.others)
  }
  return { area, proven: provenEpsilon(members, others) }
}

const auditRuns = (size: Size): number => (size === 'all' ? 20 : 5)

export const membership: Attack = {
  id: 'E9',
  name: 'membership of a record in the training',
  control: async (size) => {
    const federation = await audit(OVERFIT, auditRuns(size) / 5)
    const { area, proven } = attack(0, size === 'all' ? 40 : 10, 0.5)
    // What is held against the noise of papers below would see a leak: a third of the noise is one.
    const z = multiplier()
    const runs = size === 'all' ? 20 : 10
    const [leaking, ideal] = [attack(z / 3, runs, 1), attack(z, runs, 1, ofPapers)]
    return [
      least('area of 100 canaries, final model of a federation without privacy', federation.area, 0.7),
      least(
        'area with a third of the noise (what all of it leaves, and chance)',
        leaking.area,
        beyondChance(leaking, ideal),
      ),
      least('area of the attack without noise', area, 0.7),
      least('epsilon that it proves', proven, 1),
    ]
  },
  defended: async (size) => {
    const federation = await audit(PRIVATE, auditRuns(size))
    const z = multiplier()
    const spent = epsilonOf(z)
    const runs = size === 'all' ? 20 : 10
    const [full, half] = [attack(z, runs, 1), attack(z, runs, 0.5)]
    const [fullIdeal, halfIdeal] = [attack(z, runs, 1, ofPapers), attack(z, runs, 0.5, ofPapers)]
    // The law is the accountant's: no attack proves more than was spent. The area of the worst case is told beside it.
    return [
      most('area of 100 canaries, final model of a federation under epsilon 8', federation.area, 0.6),
      most('epsilon that they prove', federation.proven, EPSILON),
      most('what the accountant says', spent, 8),
      most('epsilon that the attack proves, records at the clip (what the accountant says)', full.proven, spent),
      most('epsilon that it proves, records at half of it', half.proven, spent),
      most(
        'area, records at the clip (what Gaussian noise of that size leaves, and chance)',
        full.area,
        beyondChance(full, fullIdeal),
      ),
      most('area, records at half of it (the same)', half.area, beyondChance(half, halfIdeal)),
      wanted('area of the attack, records at the clip, each alone in its direction', full.area, 0.6),
      wanted('area of the attack, records at half of it', half.area, 0.6),
    ]
  },
}
