/** The example of the hospitals on tables of the reader's own: what cannot be used is said in one line, the rest is trained on. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { COLUMNS, findPatients } from '../../examples/09-heart-disease/patients.ts'
import { createSeeded } from '../../src/data/index.ts'
import { weft } from '../cli/support.ts'
import type { Outcome } from '../cli/support.ts'
import { isLong } from '../whole.ts'

const root = mkdtempSync(join(tmpdir(), 'weft-own-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const EXAMPLE = fileURLToPath(new URL('../../examples/12-four-hospitals/run.ts', import.meta.url))

/** Who is older and has a lower pulse is ill more often. */
function patients(seed: number, count: number): string[] {
  const seeded = createSeeded(seed, 'own')
  return Array.from({ length: count }, () => {
    const ill = seeded.below(2)
    const age = Math.round(52 + 8 * ill + 6 * seeded.normal())
    const pulse = Math.round(155 - 25 * ill + 15 * seeded.normal())
    const chol = seeded.below(10) === 0 ? '?' : String(Math.round(240 + 30 * seeded.normal()))
    return [age, seeded.below(2), 1 + seeded.below(4), 130, chol, 0, 0, pulse, seeded.below(2), 1, 2, 0, 3, ill].join(
      ',',
    )
  })
}

function folderOf(name: string, tables: Readonly<Record<string, readonly string[]>>): string {
  const folder = join(root, name)
  mkdirSync(folder)
  for (const [file, lines] of Object.entries(tables)) writeFileSync(join(folder, file), `${lines.join('\n')}\n`)
  return folder
}

const example = (folder: string): Promise<Outcome> => weft(['--data', folder], { command: [process.execPath, EXAMPLE] })

const SOUND = { 'b.csv': patients(2, 40), 'c.csv': patients(3, 40) }

describe('tables of your own', () => {
  test('are hospitals by the names of their files, whether they have a heading or none', async () => {
    const given = folderOf('sound', { ...SOUND, 'a.csv': [COLUMNS.join(','), ...patients(1, 30)], 'notes.txt': ['x'] })
    const work = folderOf('work', {})
    const { sites, isOwn, from } = await findPatients(work, given)
    expect([isOwn, from, sites.map(({ name }) => name)]).toEqual([true, '3 tables of your own', ['a', 'b', 'c']])
  })

  test.each([
    ['is-absent', {}, 'ENOENT'],
    ['is-too-little', SOUND, '2 tables (*.csv, *.data) are there, one a hospital, and 3 are the least'],
    [
      'is-narrow',
      { ...SOUND, 'a.csv': [...patients(1, 20), '1,2,3'] },
      'a.csv, line 21: 3 cells, and 14 are wanted: age,sex,',
    ],
    [
      'is-no-number',
      { ...SOUND, 'a.csv': [COLUMNS.join(','), ...patients(1, 20), 'old,1,1,1,1,1,1,1,1,1,1,1,1,1'] },
      'a.csv, line 22: "old" of age is no number',
    ],
    [
      'has-no-answer',
      { ...SOUND, 'a.csv': [...patients(1, 20), '1,1,1,1,1,1,1,1,1,1,1,1,1,?'] },
      'a.csv, line 21: num is missing',
    ],
    ['is-short', { ...SOUND, 'a.csv': patients(1, 3) }, 'a.csv: 3 patients, and 10 are the least'],
    ['is-twice', { ...SOUND, 'b.data': patients(4, 20) }, 'two tables are named "b"'],
  ])('are refused in one line where something %s', async (name, tables, why) => {
    const folder = name === 'is-absent' ? join(root, 'nowhere') : folderOf(name, tables)
    const { status, stdout, stderr } = await example(folder)
    expect([status, stdout.split('\n').length, stderr]).toEqual([2, 2, ''])
    expect(stdout).toContain(`✗ --data ${folder}: `)
    expect(stdout).toContain(why)
  })

  test.runIf(isLong)(
    'train one model together, each alone and all pooled, as the hospitals of UCI do',
    async () => {
      const { status, stdout } = await example(folderOf('whole', { ...SOUND, 'a.csv': patients(1, 60) }))
      expect(stdout).toContain('✓ 20 rounds of 3 sites of 3 tables of your own')
      expect(stdout).toMatch(/^ {2}a +12 +[01]\.\d+ \[/m)
      expect(status).toBe(0)
    },
    300_000,
  )
})
