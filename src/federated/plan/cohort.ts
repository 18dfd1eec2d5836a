/** What follows from a plan and the number of its members: thresholds, noise, sizes. Nobody is told any of it. */
import { ParameterRangeError } from '../errors.ts'
import { shareSigmaOf } from '../privacy/distributed.ts'
import type { DistributedNoise } from '../privacy/distributed.ts'
import { splitNoise } from '../privacy/clipping.ts'
import { rdpOf } from '../privacy/accounting.ts'
import { leastByBoth, leastMultiplier } from '../privacy/least-multiplier.ts'
import type { LedgerEvent } from '../privacy/ledger-entries.ts'
import { statisticsNoise } from './bounded-statistics.ts'
import type { StatisticsNoise } from './bounded-statistics.ts'
import { MOST_MEMBERS } from './sharing.ts'
import { thresholdOf } from './threshold.ts'
import { leastMembers } from '../secagg/roster.ts'
import { FedPlanError } from './errors.ts'
import type { FedPlan, PrivacySpec } from './schema.ts'

/** Secure sums that the plan takes, without the one of the statistics. */
export function sumsOf(plan: FedPlan): number {
  const { privacy = 'off', local, compression } = plan
  // Of a matrix first the columns that it is written in are summed, and then what is written in them.
  if (compression?.kind === 'low-rank') return 2 * plan.rounds
  // Under privacy of records, a local step is a step of all sites together.
  return privacy !== 'off' && privacy.unit === 'record' ? plan.rounds * (local.steps ?? local.epochs ?? 1) : plan.rounds
}

/** The round of the plan that sum `done` (from 0) belongs to, from 1. */
export function roundOf(plan: FedPlan, done: number): number {
  return Math.floor(done / (sumsOf(plan) / plan.rounds)) + 1
}

/** Members whose shares of noise make up what hides a unit. */
export interface Cohort {
  /** Of the job. */
  readonly members: number
  /** Of them in whatever anybody can open, at least. */
  readonly sure: number
}

/**
 * @param sizes members of each cluster who have joined; those that the plan names, while that is not known
 */
export function cohortOf(
  plan: FedPlan,
  members: number,
  sizes: readonly number[] | undefined = plan.clusters?.map(({ sites }) => sites.length),
): Cohort {
  if (sizes === undefined || sizes.length === 0) return { members, sure: thresholdOf(members) }
  // Two who collude may be whoever aggregates and a delegate: they see the sum of its cluster, and the noise in it has to do.
  const isOneSeen = colludersOf(plan) >= 2
  return { members, sure: isOneSeen ? leastOfGroup(Math.min(...sizes)) : leastOfClusters(sizes) }
}

function colludersOf({ privacy = 'off' }: FedPlan): number {
  return privacy === 'off' ? 0 : (privacy.colluders ?? 0)
}

/** Shares of noise that hide a unit from all who collude. @throws FedPlanError: there are none */
function sharesOf(plan: FedPlan, { sure }: Cohort): number {
  const n = sure - colludersOf(plan)
  if (n < 1) throw new FedPlanError(plan.name, 'privacy.colluders', 'leaves nobody whose noise counts')
  return n
}

export interface Noise {
  readonly unit: PrivacySpec['unit']
  readonly q: number
  /** Noise multiplier: of the whole sum, at the least cohort. */
  readonly z: number
  /** Norm of what one unit adds, in the units of the sum. */
  readonly clip: number
  /** Values are multiplied with this before they are encoded. */
  readonly scale: number
  /** Of one share, integer units. */
  readonly shareSigma: number
  readonly event: LedgerEvent
  /** Where the bound of the clip is looked for: the factor of the bit. */
  readonly bitScale: number | null
}

/** Standard deviations that a Poisson sample may lie above its mean. */
const SAMPLE_ROOM = 7

/**
 * @param d coordinates of the update
 * @param records of all sites
 * @param clip in place of the plan's, where it adapts
 */
export function noiseOf(plan: FedPlan, cohort: Cohort, d: number, records: number, clip?: number): Noise | undefined {
  const { members } = cohort
  const { privacy = 'off', secagg = 'off' } = plan
  if (privacy === 'off' || secagg === 'off') return undefined
  const bound = clip ?? privacy.clip
  const q = privacy.sample_rate ?? 1
  const n = sharesOf(plan, cohort)
  const scale = privacy.unit === 'record' ? recordScale(plan, members, q * records, bound) : 1
  const z = multiplierOf(plan, cohort, d, scale, bound)
  const adaptive = privacy.unit === 'site' ? privacy.adaptive : undefined
  const whole = adaptive === undefined ? { clip: bound, bitScale: null } : jointClip(z, bound, countNoise(adaptive))
  const shareSigma = shareSigmaOf(z, whole.clip * scale, secagg.f, n)
  const noise: DistributedNoise = {
    n,
    clip: whole.clip * scale,
    f: secagg.f,
    d: d + (whole.bitScale === null ? 0 : 1),
    shareSigma,
    mechanism: 'gaussian',
    rounding: privacy.unit === 'record' ? 'worst' : 'conditional',
  }
  const event: LedgerEvent = { mechanism: 'distributed', q, steps: 1, noise }
  return { unit: privacy.unit, q, z, clip: bound, scale, shareSigma, event, bitScale: whole.bitScale }
}

/** Noise of the count of norms that fit, in sites. */
function countNoise({ count_noise: noise }: NonNullable<PrivacySpec['adaptive']>): number {
  return noise ?? 1
}

/**
 * Update and bit as one vector: the bit is stretched until the noise of the update is right for it, and then both cost
 * what z does (Andrew et al., arXiv 1905.03871, theorem 1).
 */
function jointClip(z: number, clip: number, sigmaB: number): { readonly clip: number; readonly bitScale: number } {
  const update = splitNoise(z, sigmaB)
  const bitScale = (update * clip) / sigmaB
  return { clip: Math.hypot(clip, bitScale / 2), bitScale }
}

/** Largest magnitude of a coordinate that the modulus has room for, half of it left to noise. */
export function roomOf(plan: FedPlan, members: number): number {
  const { secagg = 'off' } = plan
  if (secagg === 'off') return Number.POSITIVE_INFINITY
  return 2 ** (secagg.bits - 2 - secagg.f) / members - 2 ** -secagg.f
}

/** A sum of a sample's gradients must fit; where it would not, all are made smaller by a factor that all know. */
function recordScale(plan: FedPlan, members: number, sample: number, clip: number): number {
  const most = clip * (sample + SAMPLE_ROOM * Math.sqrt(sample) + SAMPLE_ROOM)
  return Math.min(1, roomOf(plan, members) / most)
}

/** The bound c of the round's header. */
export function boundOf(plan: FedPlan, members: number): number {
  const { privacy = 'off', secagg = 'off' } = plan
  if (secagg === 'off') return 1
  return privacy !== 'off' ? Math.max(roomOf(plan, members), 2 ** -secagg.f) : secagg.c
}

/** Noise of the statistics, where the plan bounds them. */
export function boundedStatistics(plan: FedPlan, cohort: Cohort): StatisticsNoise | undefined {
  const { privacy = 'off', secagg = 'off' } = plan
  if (privacy === 'off' || secagg === 'off') return undefined
  const room = Math.floor(roomOf(plan, cohort.members) * 2 ** secagg.f)
  return statisticsNoise(plan, room, sharesOf(plan, cohort))
}

function statisticsEvent({ noise }: StatisticsNoise): LedgerEvent {
  return { mechanism: 'distributed', q: 1, steps: 1, noise }
}

/** The same as rounds have it. */
export function noiseOfStatistics(plan: FedPlan, cohort: Cohort): Noise | undefined {
  const statistics = boundedStatistics(plan, cohort)
  if (statistics === undefined) return undefined
  const { z, noise } = statistics
  const event = statisticsEvent(statistics)
  return { unit: 'record', q: 1, z, clip: noise.clip, scale: 1, shareSigma: noise.shareSigma, event, bitScale: null }
}

/** Whether any noise keeps what a plan promises, as far as that can be said without a site's data. @throws FedPlanError */
export function checkNoise(plan: FedPlan, cohort: Cohort): void {
  noiseOf(plan, cohort, 1, 1)
  noiseOfStatistics(plan, cohort)
}

/** The same of a plan that nobody has joined: the more sites there are the more noise counts. @throws FedPlanError */
export function checkPrivacy(plan: FedPlan): void {
  const members = plan.clusters?.reduce((sum, { sites }) => sum + sites.length, 0)
  const few = Math.max(3, plan.minimum?.sites ?? 3)
  // Room in the modulus is the most with few of them, and shares of noise are with many.
  checkNoise(plan, members === undefined ? { members: few, sure: MOST_MEMBERS } : cohortOf(plan, members))
}

const known = new Map<string, number>()
const MOST_KNOWN = 256

/** The plan's, or the least that keeps all its sums within epsilon. @throws FedPlanError when none does */
function multiplierOf(plan: FedPlan, cohort: Cohort, d: number, scale: number, clip: number): number {
  const privacy = plan.privacy as PrivacySpec
  if (privacy.noise_multiplier !== undefined) return privacy.noise_multiplier
  const secagg = plan.secagg as Exclude<FedPlan['secagg'], 'off' | undefined>
  const n = sharesOf(plan, cohort)
  // What adapts is relative: the ratio of clip and unit hardly moves z.
  const reference = privacy.adaptive === undefined ? clip : privacy.clip
  const key = JSON.stringify([privacy, secagg, n, d, scale, reference, sumsOf(plan), cohort.members, plan.features])
  const before = known.get(key)
  if (before !== undefined) return before
  const statistics = boundedStatistics(plan, cohort)
  const first = statistics === undefined ? [] : [statisticsEvent(statistics)]
  const eventsAt = (z: number): LedgerEvent[] => {
    const shareSigma = shareSigmaOf(z, reference * scale, secagg.f, n)
    const rounding = privacy.unit === 'record' ? 'worst' : 'conditional'
    const noise = { n, clip: reference * scale, f: secagg.f, d, shareSigma, mechanism: 'gaussian', rounding } as const
    const steps = { mechanism: 'distributed', q: privacy.sample_rate ?? 1, steps: sumsOf(plan), noise } as const
    return [...first, steps]
  }
  const byRdp = leastMultiplier((z) => rdpOf(eventsAt(z), privacy.delta), privacy.epsilon)
  const isTight = byRdp !== undefined && privacy.accountant === 'pld'
  const least = isTight ? leastByBoth(eventsAt, privacy, byRdp) : byRdp
  if (least === undefined) {
    throw new FedPlanError(
      plan.name,
      'privacy',
      `no noise keeps ${sumsOf(plan)} sums within epsilon ${privacy.epsilon}`,
    )
  }
  // Room for a bound that moves: rounding counts for more where the clip is small.
  const z = privacy.adaptive === undefined ? least : least * 1.001
  if (!(z > 0)) throw new ParameterRangeError('no noise multiplier was found')
  if (known.size >= MOST_KNOWN) known.clear()
  known.set(key, z)
  return z
}

/** Members of a bucket or cluster that stay, at least, and clusters of all: with fewer nothing is opened. */
export function leastOfGroup(members: number): number {
  return leastMembers(thresholdOf(members))
}

/** Members whose sum of clusters can be opened, at least: of as few clusters as their delegates sign, the smallest. @param sizes of clusters */
export function leastOfClusters(sizes: readonly number[]): number {
  const least = sizes.map((size) => leastOfGroup(size)).sort((left, right) => left - right)
  return least.slice(0, leastOfGroup(sizes.length)).reduce((sum, one) => sum + one, 0)
}
