/** Tables like those of four hospitals, made from a seed: columns have missing cells, and sites differ. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSeeded } from '../../../src/data/index.ts'

export const COLUMNS = ['age', 'chol', 'cp', 'thalach', 'num']

/** Rows of one site. `shift` moves its patients' age. */
export function hospitalRows(seed: number, count: number, shift = 0): string[] {
  const seeded = createSeeded(seed, 'hospital')
  return Array.from({ length: count }, () => {
    const age = Math.round(54 + shift + 9 * seeded.normal())
    const chol = seeded.uniform() < 0.1 ? '?' : String(Math.round(246 + 50 * seeded.normal()))
    const cp = 1 + seeded.below(4)
    const thalach = Math.round(150 - 0.8 * (age - 54) + 20 * seeded.normal())
    const risk = (age - 54) / 9 + (cp === 4 ? 1.5 : 0) - (thalach - 150) / 25 + 0.8 * seeded.normal()
    return [age, chol, cp, thalach, risk > 0.4 ? 1 + seeded.below(4) : 0].join(',')
  })
}

export function plan(changes: object = {}): object {
  return {
    schema: 'weft.fed-plan/1',
    name: 'heart',
    task: 'binary',
    target: { column: 'num', above: 0 },
    features: [
      { column: 'age' },
      { column: 'chol', missing: [0] },
      { column: 'cp', values: [1, 2, 3, 4] },
      { column: 'thalach', scale: { divide: 100 } },
    ],
    split: { every: 5, test: 4 },
    model: { kind: 'mlp', hidden: [4], activation: 'tanh' },
    init: 'hash',
    rounds: 3,
    local: { steps: 5, batch: 'full', optimizer: 'sgd', lr: 0.5 },
    strategy: { name: 'fedavg', weights: 'records', server_lr: 1 },
    secagg: { f: 16, bits: 32, c: 8 },
    privacy: 'off',
    minimum: { sites: 3, records: 64 },
    deadline: '20s',
    ...changes,
  }
}

/** Writes the table and its description; the path of the latter. */
export function writeSite(folder: string, site: string, rows: readonly string[]): string {
  writeFileSync(join(folder, `${site}.csv`), `${rows.join('\n')}\n`)
  const data = { schema: 'weft.fed-data/1', site, kind: 'csv', path: `${site}.csv`, header: false, columns: COLUMNS }
  const path = join(folder, `${site}.json`)
  writeFileSync(path, JSON.stringify({ ...data, missing: ['?', ''] }))
  return path
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'weft-fed-'))
}
