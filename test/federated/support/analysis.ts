/** Sites with patients, their scores and their times; and an analysis over them in one process. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSeeded } from '../../../src/data/index.ts'
import {
  AnalysisMath,
  AnalysisSite,
  checkAnalysisPlan,
  FIRST_STATE,
  readFedData,
} from '../../../src/federated/index.ts'
import type { AnalysisResult, FedState, Words } from '../../../src/federated/index.ts'
import { analysisResult } from '../../../src/federated/index.ts'
import { wordsFrom } from '../../../src/federated/index.ts'

export const PATIENT_COLUMNS = ['age', 'chol', 'cp', 'time', 'event', 'score', 'num']

export interface Patient {
  readonly age: number
  readonly chol: number | null
  readonly cp: number
  readonly time: number
  readonly event: number
  readonly score: number
  readonly num: number
}

export function patients(seed: number, count: number, shift = 0): Patient[] {
  const seeded = createSeeded(seed, 'patients')
  return Array.from({ length: count }, () => {
    const age = Math.round(54 + shift + 9 * seeded.normal())
    const chol = seeded.uniform() < 0.1 ? null : Math.round(246 + 50 * seeded.normal())
    const cp = 1 + seeded.below(4)
    const time = 1 + seeded.below(40)
    const score = seeded.below(100) / 100 + 0.005
    const num = seeded.uniform() < score ? 1 + seeded.below(3) : 0
    return { age, chol, cp, time, event: seeded.below(2), score, num }
  })
}

export function linesOf(list: readonly Patient[]): string[] {
  return list.map(({ age, chol, cp, time, event, score, num }) =>
    [age, chol ?? '?', cp, time, event, score, num].join(','),
  )
}

/** Writes a table and its description; the path of the latter. */
export function writePatients(
  folder: string,
  site: string,
  lines: readonly string[],
  columns: readonly string[] = PATIENT_COLUMNS,
): string {
  writeFileSync(join(folder, `${site}.csv`), `${lines.join('\n')}\n`)
  const path = join(folder, `${site}.json`)
  const data = { schema: 'weft.fed-data/1', site, kind: 'csv', path: `${site}.csv`, header: false, columns }
  writeFileSync(path, JSON.stringify({ ...data, missing: ['?', ''] }))
  return path
}

export function analysisPlan(statistics: readonly object[], changes: object = {}): object {
  return {
    schema: 'weft.fed-analysis/1',
    name: 'look',
    statistics,
    records: 1000,
    privacy: 'off',
    minimum: { sites: 3, records: 64 },
    deadline: '20s',
    ...changes,
  }
}

/** Words out of a seed. */
export function seededWords(seed: number): Words {
  const seeded = createSeeded(seed, 'noise')
  return wordsFrom((length) => Uint8Array.from({ length }, () => seeded.below(256)))
}

export interface Analysed {
  readonly math: AnalysisMath
  readonly state: FedState
  readonly sites: readonly AnalysisSite[]
  readonly result: AnalysisResult
}

/** All rounds over these data files, the vectors of all sites simply added. */
export async function analyse(plan: object, paths: readonly string[], seed = 1): Promise<Analysed> {
  const math = new AnalysisMath(checkAnalysisPlan(plan, 'plan'), paths.length)
  const sites: AnalysisSite[] = []
  for (const [index, path] of paths.entries()) {
    sites.push(await AnalysisSite.open(math, await readFedData(path), seededWords(seed + index)))
  }
  let state: FedState = FIRST_STATE
  while (!math.isOver(state)) {
    const { reals: size, wide: more } = math.shape(state)
    const reals = new Float64Array(size)
    const wide = Array.from({ length: more }, () => 0n)
    for (const site of sites) {
      const { contribution } = await site.prepare(state, {}, state.done)
      for (const [index, value] of (contribution.integers ?? contribution.reals).entries()) reals[index]! += value
      for (const [index, value] of contribution.wide.entries()) wide[index]! += value
    }
    state = math.apply(state, { reals, wide }, paths.length)
  }
  return { math, state, sites, result: analysisResult(math, state) }
}
