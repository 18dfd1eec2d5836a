import { execFile } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { composedEpsilon, openPrivacyLedger, rdpEpsilon } from '../../src/federated/index.ts'
import type { Charge, LedgerHead, LedgerPlaces, PrivacyLedger } from '../../src/federated/index.ts'
import { distributedEpsilon } from '../../src/federated/index.ts'
import { hash } from './support/round.ts'
import { testSigner } from './support/ledger-host.ts'

const run = promisify(execFile)
const base = mkdtempSync(join(tmpdir(), 'weft-ledger-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const HOST = join(import.meta.dirname, 'support/ledger-host.ts')
const EVENT = { mechanism: 'gaussian', q: 0.1, sigma: 1, steps: 10 } as const
const CHARGE: Charge = { data: 'heart', unit: 'record', job: 'job', round: 0, event: EVENT }
/** Six charges of `EVENT` fit, seven do not. */
const CAP = { data: 'heart', unit: 'record', delta: 1e-5, epsilon: 5.9 } as const

let places: LedgerPlaces
let homes = 0
let wall = 1e12
beforeEach(() => {
  const home = join(base, String(homes++))
  mkdirSync(join(home, 'keys'), { recursive: true })
  places = { path: join(home, 'ledger.db'), anchor: join(home, 'keys', 'ledger.anchor') }
  wall = 1e12
})

function open(witnessed?: () => readonly LedgerHead[], signer = testSigner()): PrivacyLedger {
  return openPrivacyLedger({ signer, wall: () => wall, ...(witnessed === undefined ? {} : { witnessed }) }, places)
}

function codeOf(action: () => unknown): string {
  try {
    action()
    return 'done'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

function charges(ledger: PrivacyLedger, count: number): string[] {
  return Array.from({ length: count }, (_, round) => codeOf(() => ledger.charge({ ...CHARGE, round })))
}

/** One statement on the file itself, past the ledger. */
function edit(statement: string): void {
  const database = new DatabaseSync(places.path)
  database.exec(statement)
  database.close()
}

describe('the ledger', () => {
  test('charges up to the cap, over restarts, and says what was spent with all that belongs to it', () => {
    const ledger = open()
    expect(codeOf(() => ledger.charge(CHARGE))).toBe('WEFT-FED-041')
    ledger.setCap(CAP)
    const receipt = ledger.charge(CHARGE)
    expect(receipt.epsilon).toBeCloseTo(rdpEpsilon([EVENT], 1e-5).epsilon, 12)
    expect(charges(open(), 2)).toEqual(['done', 'done'])
    expect(charges(open(), 5)).toEqual(['done', 'done', 'done', 'WEFT-FED-040', 'WEFT-FED-040'])
    const [budget] = open().budgets()
    expect(budget).toMatchObject({ data: 'heart', unit: 'record', delta: 1e-5, cap: 5.9 })
    expect(budget!.events).toHaveLength(6)
    expect(budget!.epsilon).toBe(composedEpsilon([{ ...EVENT, steps: 60 }], 1e-5))
    expect(statSync(places.path).mode & 0o077).toBe(0)
  })

  test('keeps data sets and units apart, and counts the jobs of one together', () => {
    const ledger = open()
    ledger.setCap(CAP)
    ledger.setCap({ ...CAP, data: 'air' })
    for (const job of ['a', 'b', 'c']) ledger.charge({ ...CHARGE, job })
    expect(ledger.budgets().map(({ data, events }) => [data, events.length])).toEqual([
      ['heart', 3],
      ['air', 0],
    ])
    expect(codeOf(() => ledger.charge({ ...CHARGE, unit: 'site' }))).toBe('WEFT-FED-041')
    ledger.setCap({ ...CAP, epsilon: 0.1 })
    expect(codeOf(() => ledger.charge(CHARGE))).toBe('WEFT-FED-040')
    expect(codeOf(() => ledger.charge({ ...CHARGE, data: 'air' }))).toBe('done')
  })

  test('what is spent on whole sites is spent of the budget of records, too, and not the other way', () => {
    const ledger = open()
    ledger.setCap(CAP)
    ledger.setCap({ ...CAP, unit: 'site', epsilon: 100 })
    for (const round of [0, 1, 2]) ledger.charge({ ...CHARGE, unit: 'site', round })
    for (const round of [3, 4, 5]) ledger.charge({ ...CHARGE, round })
    const of = (): [string, number][] => ledger.budgets().map(({ unit, events }) => [unit, events.length])
    expect(of()).toEqual([
      ['record', 6],
      ['site', 3],
    ])
    expect(codeOf(() => ledger.charge({ ...CHARGE, round: 6 }))).toBe('WEFT-FED-040')
    expect(codeOf(() => ledger.charge({ ...CHARGE, unit: 'site', round: 6 }))).toBe('WEFT-FED-040')
    expect(of()).toEqual([
      ['record', 6],
      ['site', 3],
    ])
    ledger.setCap({ ...CAP, epsilon: 100 })
    expect(codeOf(() => ledger.charge({ ...CHARGE, unit: 'site', round: 6 }))).toBe('done')
  })

  test('accounts noise that came in shares', () => {
    const noise = {
      n: 10,
      clip: 1,
      f: 16,
      d: 1000,
      shareSigma: 82_897,
      mechanism: 'gaussian',
      rounding: 'worst',
    } as const
    const ledger = open()
    ledger.setCap({ ...CAP, epsilon: 50 })
    const { epsilon } = ledger.charge({ ...CHARGE, event: { mechanism: 'distributed', q: 1, steps: 50, noise } })
    expect(epsilon).toBeCloseTo(distributedEpsilon(noise, 50, 1e-5).epsilon, 12)
    expect(ledger.charge(CHARGE).epsilon).toBeGreaterThan(epsilon)
  })

  test('signs one set of survivors a round, whatever starts again in between', () => {
    expect(open().claim(hash('round'), hash('set'))).toBe(true)
    expect(open().claim(hash('round'), hash('set'))).toBe(false)
    expect(open().claim(hash('round'), hash('another set'))).toBe(false)
    expect(open().claim(hash('next round'), hash('set'))).toBe(true)
  })
})

describe('a ledger that somebody touched', () => {
  const damaged = 'WEFT-FED-042'
  const back = 'WEFT-FED-043'

  function filled(): PrivacyLedger {
    const ledger = open()
    ledger.setCap(CAP)
    charges(ledger, 3)
    return ledger
  }

  const cases: readonly [string, () => void, string][] = [
    [
      'an entry edited',
      () => edit(`UPDATE entries SET body = replace(body, '"steps":10', '"steps":1') WHERE seq = 2`),
      damaged,
    ],
    ['an entry taken out', () => edit('DELETE FROM entries WHERE seq = 2'), damaged],
    [
      'entries swapped',
      () => edit('UPDATE entries SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE seq END'),
      damaged,
    ],
    ['the last entries cut off', () => edit('DELETE FROM entries WHERE seq > 2'), back],
    ['all entries gone', () => edit('DELETE FROM entries'), back],
    ['the file removed', () => rmSync(places.path), back],
    ['the file cut off', () => truncateSync(places.path, 5000), damaged],
    ['the file overwritten', () => writeFileSync(places.path, 'no database at all, but text for a while'), damaged],
    ['the anchor removed', () => rmSync(places.anchor), damaged],
    [
      'the anchor edited',
      () => writeFileSync(places.anchor, readFileSync(places.anchor, 'utf8').replace('4', '2')),
      damaged,
    ],
  ]
  test.each(cases)('%s: refused with a code, again and again', (_, touch, code) => {
    filled()
    touch()
    expect([codeOf(() => open().charge(CHARGE)), codeOf(() => open().charge(CHARGE))]).toEqual([code, code])
    expect(codeOf(() => open().budgets())).toBe(code)
  })

  test('an old copy put back, under a running process or before a start', () => {
    const ledger = filled()
    copyFileSync(places.path, `${places.path}.old`)
    expect(charges(ledger, 1)).toEqual(['done'])
    copyFileSync(`${places.path}.old`, places.path)
    expect(codeOf(() => ledger.charge(CHARGE))).toBe(back)
    expect(codeOf(() => open().charge(CHARGE))).toBe(back)
  })

  test('copies of ledger and anchor put back together: seen by whoever remembers the head, and by nobody else', () => {
    const ledger = filled()
    const files = [places.path, places.anchor]
    for (const file of files) copyFileSync(file, `${file}.old`)
    charges(ledger, 1)
    const head = ledger.head()
    for (const file of files) copyFileSync(`${file}.old`, file)
    expect(codeOf(() => ledger.charge(CHARGE))).toBe(back)
    expect(codeOf(() => open(() => [head]).charge(CHARGE))).toBe(back)
    // The control: without a witness a fresh process cannot know.
    expect(codeOf(() => open().charge({ ...CHARGE, round: 77 }))).toBe('done')
    // And now the chains have parted.
    expect(codeOf(() => open(() => [head]).charge(CHARGE))).toBe(damaged)
  })

  test('entries of another key are none of this site', () => {
    filled()
    const stranger = { ...testSigner(), verify: () => false }
    expect(codeOf(() => open(undefined, stranger).charge(CHARGE))).toBe(damaged)
  })

  test('a clock set back', () => {
    const ledger = filled()
    wall -= 3_600_000
    expect(codeOf(() => ledger.charge(CHARGE))).toBe('WEFT-FED-046')
    wall += 3_600_000 - 1000
    expect(codeOf(() => ledger.charge(CHARGE))).toBe('done')
  })
})

describe('processes of one site', () => {
  const host = async (job: string, most: number, limit = ''): Promise<{ charged: number; code: string }> => {
    const command = `${limit}exec "$0" --disable-warning=ExperimentalWarning "$@"`
    const words = [HOST, places.path, places.anchor, job, String(most)]
    const { stdout } = await run('bash', ['-c', command, process.execPath, ...words])
    return JSON.parse(stdout) as { charged: number; code: string }
  }

  test('that charge at once spend the cap together, and not a step more', async () => {
    const ledger = open()
    ledger.setCap(CAP)
    const both = await Promise.all([host('a', 100), host('b', 100)])
    const [budget] = ledger.budgets()
    expect(both.map(({ code }) => code)).toEqual(['WEFT-FED-040', 'WEFT-FED-040'])
    expect(both[0].charged + both[1].charged).toBe(budget!.events.length)
    expect(budget!.epsilon).toBeLessThanOrEqual(CAP.epsilon)
    expect(codeOf(() => ledger.charge({ ...CHARGE, event: { ...EVENT, steps: 5 } }))).toBe('WEFT-FED-040')
  })

  test('that find no room on the disk charge nothing and say so; with room again all is as before', async () => {
    const ledger = open()
    ledger.setCap({ ...CAP, epsilon: 1000 })
    charges(ledger, 8)
    const blocks = Math.ceil(statSync(places.path).size / 1024)
    const full = await host('full', 100, `ulimit -f ${blocks}; `)
    expect(full.code).toBe('WEFT-FED-044')
    const [before] = ledger.budgets()
    // What the child could write it counted; a charge whose entry did not fit is in no file.
    expect(before!.events.length).toBeGreaterThanOrEqual(8 + full.charged)
    expect(before!.events.length).toBeLessThanOrEqual(9 + full.charged)
    expect(codeOf(() => ledger.charge(CHARGE))).toBe('done')
  })

  test('that wait too long for one that holds the file are told so, and charge when it lets go', () => {
    const needs = { signer: testSigner(), wall: () => wall, busyMilliseconds: 20 }
    const ledger = openPrivacyLedger(needs, places)
    ledger.setCap(CAP)
    const holder = new DatabaseSync(places.path)
    holder.exec('BEGIN IMMEDIATE')
    expect(codeOf(() => ledger.charge(CHARGE))).toBe('WEFT-FED-045')
    holder.close()
    expect(codeOf(() => ledger.charge(CHARGE))).toBe('done')
  })

  test('whose folder is gone are told that nothing can be written', () => {
    rmSync(join(places.anchor, '..', '..'), { recursive: true })
    expect(codeOf(() => open().setCap(CAP))).toBe('WEFT-FED-044')
  })
})
