/** What a site adds in a round of an analysis: its records counted, and its share of the noise. */
import { OutOfBoundError } from '../errors.ts'
import { SiteRecordsError } from '../plan/errors.ts'
import { mostRecords } from '../plan/read-analysis.ts'
import type { SiteData } from '../plan/read-plan.ts'
import { discreteGaussian } from '../privacy/discrete-gaussian.ts'
import type { Words } from '../privacy/words.ts'
import { NOTHING_BEGUN } from '../rounds/state.ts'
import type { Begun, FedState } from '../rounds/state.ts'
import { mostFixed } from '../rounds/wide.ts'
import type { Prepared, RoundSite, SiteMemory } from '../site/site.ts'
import { binning } from './bins.ts'
import { distanceFromOthers } from './drift.ts'
import type { AnalysisMath } from './math.ts'
import { eachRecord } from './records.ts'

export class AnalysisSite implements RoundSite {
  readonly #math: AnalysisMath
  readonly #data: SiteData
  readonly #words: Words
  readonly records: number

  private constructor(math: AnalysisMath, data: SiteData, words: Words, records: number) {
    this.#math = math
    this.#data = data
    this.#words = words
    this.records = records
  }

  /**
   * Reads the data once, so that what is wrong with it is said before anything is promised.
   * @param words from a secure source: its bits decide the noise
   * @throws what reading throws, SiteRecordsError, OutOfBoundError
   */
  static async open(math: AnalysisMath, data: SiteData, words: Words, signal?: AbortSignal): Promise<AnalysisSite> {
    const most = mostRecords(math.plan)
    const first = math.parts(FIRST)
    const columns = first.parts.flatMap(({ part }) => part.columns)
    const tallies = first.parts.map(({ part, scale }) => part.tally({ scale, uniform: () => 0.5 }))
    const records = await eachRecord(data, columns, (row) => tallies.forEach((tally) => tally.add(row)), signal)
    const { site } = data.data
    if (records === 0) throw new SiteRecordsError(site, 'it has no record')
    if (records > most)
      throw new SiteRecordsError(site, `it has ${records} records, and the plan takes ${most} at most`)
    for (const tally of tallies) tally.end?.()
    checkWide(tallies.flatMap(({ wide }) => wide))
    return new AnalysisSite(math, data, words, records)
  }

  begin(): Promise<Begun> {
    return Promise.resolve(NOTHING_BEGUN)
  }

  /** @throws CellError, OutOfBoundError, SiteRecordsError: the data is another than it was */
  async prepare(state: FedState, memory: SiteMemory, _round: number, signal?: AbortSignal): Promise<Prepared> {
    const { parts, size } = this.#math.parts(state)
    const uniform = (): number => this.#words.next() / 2 ** 32
    const tallies = parts.map(({ part, scale }) => part.tally({ scale, uniform }))
    const columns = parts.flatMap(({ part }) => part.columns)
    const records = await eachRecord(this.#data, columns, (row) => tallies.forEach((tally) => tally.add(row)), signal)
    if (records !== this.records) {
      throw new SiteRecordsError(
        this.#data.data.site,
        `it had ${this.records} records when it joined, and ${records} now`,
      )
    }
    const reals = new Float64Array(size)
    const wide: bigint[] = []
    for (const [index, { from }] of parts.entries()) {
      const tally = tallies[index]!
      tally.end?.()
      reals.set(tally.counts, from)
      for (const value of tally.wide) wide.push(value)
    }
    const odd = reals.findIndex((value) => !(Math.abs(value) <= this.#math.bound))
    if (odd >= 0)
      throw new OutOfBoundError(`coordinate ${odd} is ${reals[odd]}, beyond ${this.#math.bound}`, { index: odd })
    checkWide(wide)
    const noise = this.#math.noise(state)
    if (noise === undefined) return { contribution: { reals, wide }, memory, noise }
    const sample = discreteGaussian(this.#words, noise.shareSigma)
    return { contribution: { reals, wide, integers: reals.map((value) => value + sample()) }, memory, noise }
  }

  /** How far this site is from the others, by statistic: for its own person, and never sent. */
  async distances(state: FedState, signal?: AbortSignal): Promise<Map<number, number | null>> {
    const { statistics } = this.#math.plan
    const { readings } = this.#math.round(state, 0)
    const own = statistics.flatMap((spec, index) => {
      if (spec.kind !== 'drift') return []
      const bins = binning(spec.column, spec)
      return [{ index, bins, counts: new Float64Array(bins.size) }]
    })
    if (own.length === 0) return new Map()
    const columns = own.map(({ bins }) => bins.column)
    await eachRecord(
      this.#data,
      columns,
      (row) => own.forEach(({ bins, counts }) => counts[bins.place(row)]!++),
      signal,
    )
    return new Map(own.map(({ index, counts }) => [index, distanceFromOthers(readings.get(index)!, counts)]))
  }
}

/** @throws OutOfBoundError */
function checkWide(wide: readonly bigint[]): void {
  const index = wide.findIndex((value) => value > mostFixed || value < -mostFixed)
  if (index >= 0) throw new OutOfBoundError(`number ${index} is too large to be summed`, { index })
}

const FIRST: Pick<FedState, 'done' | 'strategy'> = { done: 0, strategy: {} }
