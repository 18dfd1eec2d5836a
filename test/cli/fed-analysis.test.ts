import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { showResults } from '../../src/cli/commands/fed/results-view.ts'
import { createOutput } from '../../src/cli/output.ts'
import type { CliIo } from '../../src/cli/index.ts'
import { analyse, analysisPlan, linesOf, patients, writePatients } from '../federated/support/analysis.ts'
import { temporaryFolder } from '../federated/support/hospitals.ts'
import { call } from './support.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const PATHS = [1, 2, 3].map((seed) => writePatients(folder, `s${seed}`, linesOf(patients(seed, 60))))

const STATISTICS = [
  { kind: 'count', by: { column: 'cp', values: [1, 2] } },
  { kind: 'moments', column: 'age', range: [0, 120] },
  { kind: 'histogram', column: 'chol', range: [100, 600], bins: 40 },
  { kind: 'quantiles', column: 'age', range: [0, 128], bins: 8, at: [0.5] },
  { kind: 'kaplan-meier', time: 'time', event: { column: 'event', equals: 1 }, range: [0, 40], bins: 4 },
  { kind: 'auc', score: 'score', target: { column: 'num', above: 0 }, bins: 10 },
  { kind: 'calibration', score: 'score', target: { column: 'num', above: 0 }, bins: 3 },
  { kind: 'drift', name: 'labels', column: 'num', values: [0, 1, 2, 3] },
  { kind: 'schema', columns: [{ column: 'age', range: [0, 120] }] },
]

async function printed(changes: object): Promise<string[]> {
  const { result, sites, state } = await analyse(analysisPlan(STATISTICS, changes), PATHS)
  let text = ''
  const stream = { write: (part: string) => void (text += part), isTTY: false }
  const io = { stdout: stream, stderr: stream, env: {} } as unknown as CliIo
  const out = createOutput(io, { json: false, jsonl: false, quiet: false, verbose: false, noColor: true })
  const [distance] = (await sites[0]!.distances(state)).values()
  showResults(out, {
    ...result,
    job: '0123456789abcdef',
    plan: '',
    own: { site: 's1', distances: { labels: distance! } },
  })
  return text.split('\n')
}

describe('what an analysis found', () => {
  test('stands in 80 columns, and what is longer than a screen is said to be in --json', async () => {
    const lines = await printed({})
    expect(lines.filter((line) => line.length > 80)).toEqual([])
    expect(lines).toContain('privacy off: these are exact sums')
    expect(lines).toContain('  and 16 more rows: see --json')
    for (const head of ['count', 'moments age', 'histogram chol', 'kaplan-meier time', 'labels', 'schema']) {
      expect(lines).toContain(head)
    }
    expect(lines.find((line) => line.includes('AT RISK'))).toMatch(/TIME +AT RISK +EVENTS +CENSORED +SURVIVAL +ERROR/)
  })

  test('says unit, epsilon, delta, q, z and T in one line, and the noise of each statistic', async () => {
    const lines = await printed({ privacy: { unit: 'record', epsilon: 2, delta: 1e-5 } })
    expect(lines.filter((line) => line.length > 80)).toEqual([])
    expect(lines[1]).toMatch(/^privacy of one record: epsilon 2, delta 0.00001, q 1, z \d+\.\d+, T 2$/)
    expect(lines.filter((line) => /each count \+- \d/.test(line))).toHaveLength(STATISTICS.length)
  })
})

test('a plan to begin with is one that can work', async () => {
  const path = join(folder, 'look.json')
  const made = await call(['fed', 'new', '--analysis', '-o', path])
  expect(made).toMatchObject({ status: 0, stdout: `${path}\n` })
  const checked = await call(['fed', 'check', path, '--data', PATHS[0]!, '--json'])
  expect(checked.status).toBe(0)
  expect(JSON.parse(checked.stdout)).toMatchObject({ sums: 2, threshold: 3, sites: [{ site: 's1', records: 60 }] })
  const said = await call(['fed', 'check', path, '--data', PATHS[0]!])
  expect(said.stderr).toContain('privacy is of one record: epsilon 1 at delta 0.00001 for the whole analysis')
})
