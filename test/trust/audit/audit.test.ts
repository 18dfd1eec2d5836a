/** The audit log: what is written stays, what is touched shows, and nothing of a person is in it. */
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
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import {
  checkAuditFile,
  checkExport,
  exportLines,
  newIdentity,
  openAuditLog,
  readAuditRows,
  verify,
  viewsOf,
} from '../../../src/trust/index.ts'
import { chainHash } from '../../../src/store/index.ts'
import { AUDIT_CHAIN, contentHash } from '../../../src/trust/audit/entry.ts'
import { canonicalJson, systemRandom } from '../../../src/util/index.ts'
import type { Clock } from '../../../src/util/index.ts'
import type { AuditEvent, AuditLog, AuditReport, Identity, WitnessedHead } from '../../../src/trust/index.ts'
import { virtualClock } from '../../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../../mesh/support/virtual-clock.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-audit-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

let homes = 0
let places: { path: string; anchor: string }
let clock: VirtualClock
let identity: Identity
beforeEach(() => {
  const home = join(base, String(homes++))
  mkdirSync(join(home, 'keys'), { recursive: true })
  places = { path: join(home, 'audit.db'), anchor: join(home, 'keys', 'audit.anchor') }
  clock = virtualClock()
  identity = newIdentity()
})

function open(by: Identity | null = identity): AuditLog {
  return openAuditLog(
    {
      clock,
      random: systemRandom(),
      signer: {
        sign: by === null ? null : (bytes) => by.sign(bytes),
        verify: (bytes, signature) => verify(identity.id, bytes, signature),
      },
      log: () => undefined,
      busyMilliseconds: 10,
    },
    places,
  )
}

const deploy = (model: string): AuditEvent => ({ who: 'owner', what: 'deploy', target: model, result: 'ok' })

async function filled(count = 5): Promise<AuditLog> {
  const log = open()
  for (let index = 0; index < count; index++) await log.record(deploy(`model-${index}`))
  return log
}

const check = (known: readonly WitnessedHead[] = []): AuditReport => checkAuditFile(identity.id, places, known).report
const codeOf = async (action: () => Promise<unknown>): Promise<string> =>
  action().then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  )

function edit(statement: string): void {
  const database = new DatabaseSync(places.path)
  database.exec(statement)
  database.close()
}

describe('the log', () => {
  test('keeps entries in order, over restarts, signed, for its owner alone', async () => {
    const log = await filled(2)
    const head = await open().record(deploy('third'))
    expect(head.seq).toBe(3)
    // The first process has not seen it, and goes on behind it.
    expect((await log.record(deploy('fourth'))).seq).toBe(4)
    const checked = checkAuditFile(identity.id, places, [])
    expect(checked.report).toMatchObject({ entries: 4, unsigned: 0, trouble: null })
    expect(viewsOf(checked).map(({ target }) => target)).toEqual(['model-0', 'model-1', 'third', 'fourth'])
    expect(statSync(places.path).mode & 0o077).toBe(0)
    expect(statSync(places.anchor).mode & 0o077).toBe(0)
  })

  test('writes what comes together at once, and is durable when it says so', async () => {
    const log = open()
    const heads = await Promise.all(['a', 'b', 'c'].map((model) => log.record(deploy(model))))
    expect(heads.map(({ seq }) => seq)).toEqual([3, 3, 3])
    expect(readAuditRows(places.path).rows).toHaveLength(3)
  })

  test('counts what repeats', async () => {
    const log = open()
    for (let index = 0; index < 100; index++) log.tally({ ...deploy('same'), what: 'session' })
    await clock.advance(1_000)
    expect(readAuditRows(places.path).rows).toHaveLength(1)
    await clock.advance(61_000)
    await clock.advance(1_000)
    const views = viewsOf(checkAuditFile(identity.id, places, []))
    expect(views.map(({ facts }) => facts)).toEqual([{}, { count: 99 }])
    for (let index = 0; index < 2_000; index++) log.tally({ ...deploy(`other-${index}`), what: 'session' })
    log.close()
    expect(readAuditRows(places.path).rows.length).toBeLessThan(2 + 520)
    expect(viewsOf(checkAuditFile(identity.id, places, [])).at(-1)).toMatchObject({
      target: 'others',
      facts: { count: 2_000 - 512 - 1 },
    })
  })

  test('takes no more than a fiftieth of the time where a write takes long, whatever number of names knocks', async () => {
    let [spent, writing] = [0, -1]
    const slow: Clock = { ...clock, now: () => clock.now() + spent }
    const sign = (bytes: Uint8Array): Uint8Array => {
      // once a write
      if (writing !== clock.now()) spent += 40
      writing = clock.now()
      return identity.sign(bytes)
    }
    const signer = { sign, verify: (bytes: Uint8Array, signature: Uint8Array) => verify(identity.id, bytes, signature) }
    const log = openAuditLog({ clock: slow, random: systemRandom(), signer, log: () => undefined }, places)
    let heads = 0
    log.onHead(() => heads++)
    const knock = async (milliseconds: number): Promise<number> => {
      const before = heads
      for (let n = 0; n < milliseconds / 50; n++) {
        log.tally({ who: `peer:${n}`, what: 'peer.refused', result: 'refused', target: String(spent) })
        await clock.advance(50)
      }
      return heads - before
    }
    // the first is soon there, and shows how long it takes
    expect(await knock(300)).toBe(1)
    const began = spent
    const writes = await knock(10_000)
    expect([writes > 1, spent - began <= 10_000 / 50]).toEqual([true, true])
    // what this peer did itself does not wait for them
    log.note(deploy('own'))
    expect(await knock(300)).toBe(1)
    log.close()
    expect(check()).toMatchObject({ trouble: null })
  })

  test('takes entries while the key is locked; the next signature covers them', async () => {
    await filled(2)
    await open(null).record(deploy('locked'))
    expect(check()).toMatchObject({ entries: 3, unsigned: 1, trouble: null })
    await open().record(deploy('unlocked'))
    expect(check()).toMatchObject({ entries: 4, unsigned: 0, trouble: null })
  })

  test('holds what cannot be written, tells how much was lost, and goes on when there is room', async () => {
    const log = await filled(1)
    const holder = new DatabaseSync(places.path)
    holder.exec('BEGIN IMMEDIATE')
    for (let index = 0; index < 1_010; index++) log.note(deploy(`n${index}`))
    await clock.advance(1_000)
    expect(log.trouble()).toMatchObject({ waiting: 1_000, lost: 10, why: expect.stringContaining('held') as string })
    // Whoever waits for an entry is told, and it is not written later behind their back.
    expect(await codeOf(() => log.record(deploy('urgent')))).toBe('WEFT-TRU-083')
    holder.close()
    await clock.advance(6_000)
    const views = viewsOf(checkAuditFile(identity.id, places, []))
    expect(views).toHaveLength(1 + 1_000 + 1)
    expect(views.at(-1)).toMatchObject({ what: 'audit.gap', facts: { lost: 10 } })
    expect(log.trouble()).toEqual({ waiting: 0, lost: 0, why: null })
  })

  test('an anchor that cannot be written costs no entry, and writes none twice', async () => {
    const log = await filled(1)
    mkdirSync(`${places.anchor}.new`)
    await log.record(deploy('second'))
    rmSync(`${places.anchor}.new`, { recursive: true })
    await log.record(deploy('third'))
    expect(check()).toMatchObject({ entries: 3, trouble: null })
  })
})

describe('a log that somebody touched (E15)', () => {
  const cases: readonly [string, () => void, number, RegExp, string][] = [
    [
      'an entry edited',
      () => edit(`UPDATE entries SET body = replace(body, '"seq":2', '"seq":7') WHERE seq = 2`),
      2,
      /not the one that was hashed/,
      'done',
    ],
    [
      'a text edited',
      () => edit(`UPDATE contents SET content = replace(content, 'model-1', 'model-9') WHERE seq = 2`),
      2,
      /not the one that was hashed/,
      'done',
    ],
    ['a text taken out', () => edit('DELETE FROM contents WHERE seq = 2'), 2, /not the one that was hashed/, 'done'],
    ['an entry dropped', () => edit('DELETE FROM entries WHERE seq = 2'), 2, /does not follow/, 'done'],
    [
      'entries swapped',
      () => edit('UPDATE entries SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE seq END'),
      1,
      /does not follow|no entry/,
      'done',
    ],
    [
      'the last entries cut off',
      () => edit('DELETE FROM entries WHERE seq > 3'),
      4,
      /its anchor says that there were 5 entries/,
      'WEFT-TRU-081',
    ],
    ['all entries gone', () => edit('DELETE FROM entries'), 1, /cut off/, 'WEFT-TRU-081'],
    ['the file removed', () => rmSync(places.path), 1, /cut off/, 'WEFT-TRU-081'],
    ['the file cut off', () => truncateSync(places.path, 5_000), 1, /.*/, 'WEFT-TRU-080'],
    [
      'the file overwritten',
      () => writeFileSync(places.path, 'no database at all, but text for a while'),
      1,
      /cannot be read/,
      'WEFT-TRU-080',
    ],
    ['the anchor removed', () => rmSync(places.anchor), 5, /anchor .* is gone/, 'WEFT-TRU-080'],
    [
      'the anchor edited',
      () => writeFileSync(places.anchor, readFileSync(places.anchor, 'utf8').replace('5', '3')),
      5,
      /not one that this site signed/,
      'WEFT-TRU-080',
    ],
    [
      'an entry with another signature',
      () => edit(`UPDATE entries SET signature = zeroblob(64) WHERE seq = 3`),
      3,
      /not signed by this site/,
      'done',
    ],
  ]
  test.each(cases)('%s: verify names the line', async (_, touch, entry, why, next) => {
    await filled()
    touch()
    const { trouble } = check()
    expect(trouble?.entry).toBe(entry)
    expect(trouble?.why).toMatch(why)
    expect(await codeOf(() => open().record(deploy('next')))).toBe(next)
  })

  test('written anew from entry 3 by the owner, with its own key and a fresh anchor: the control says all is well, a peer that saw a head does not', async () => {
    const before = (await filled(2)).head()
    copyFileSync(places.path, `${places.path}.old`)
    copyFileSync(places.anchor, `${places.anchor}.old`)
    const log = open()
    const early = await log.record(deploy('what-was'))
    const seen = await log.record(deploy('and-more'))
    copyFileSync(`${places.path}.old`, places.path)
    copyFileSync(`${places.anchor}.old`, places.anchor)
    for (const model of ['what-was-not', 'nor-this', 'nor-that']) await open().record(deploy(model))
    // The control: without a witness nobody can know.
    expect(check().trouble).toBeNull()
    const { trouble } = check([
      { ...seen, by: 'b' },
      { ...early, by: 'c' },
      { ...before, by: 'd' },
    ])
    expect(trouble).toEqual({
      entry: 3,
      why: expect.stringContaining('what follows entry 2 was written anew') as string,
    })
  })

  test('a head that others remember beyond the end', async () => {
    await filled(2)
    const { trouble } = check([{ seq: 9, hash: 'ab'.repeat(32), by: 'b' }])
    expect(trouble).toMatchObject({ entry: 3, why: expect.stringContaining('the peer b says') as string })
  })
})

describe('an export', () => {
  const lines = (only?: number): string =>
    [...exportLines(identity, clock.wall(), readAuditRows(places.path).rows, only)].map((line) => `${line}\n`).join('')

  test('is verified by whoever knows the peer, and by what they remember of it', async () => {
    const log = await filled()
    const whole = checkExport(lines(), [{ ...log.head(), by: 'b' }])
    expect(whole.report).toMatchObject({ entries: 5, trouble: null, peer: identity.id })
    expect(whole.report.witnesses).toHaveLength(1)
    expect(whole.entries).toHaveLength(5)
    const changed = lines().replace('model-2', 'model-9')
    expect(checkExport(changed, []).report.trouble?.entry).toBe(3)
    const another = lines().replace(identity.id, newIdentity().id)
    expect(checkExport(another, []).report.trouble).toMatchObject({ entry: 1, why: 'it is not signed by this site' })
  })

  test('made while entries wait for a signature has one for all of them', async () => {
    await filled(2)
    await open(null).record(deploy('locked'))
    await open(null).record(deploy('locked-too'))
    expect(checkExport(lines(), []).report).toMatchObject({ entries: 4, unsigned: 0, trouble: null })
    expect(checkExport(lines(3), []).report).toMatchObject({ trouble: null })
  })

  type Line = { body: string; hash: string; signature: string; content: string | null }
  const read = (text: string): { first: Record<string, unknown>; rows: Line[] } => {
    const [first, ...rows] = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown)
    return { first: first as Record<string, unknown>, rows: rows as Line[] }
  }
  const without = (row: Line): Line => ({ ...row, signature: '' })
  /** By somebody without the key, who knows the format: texts changed, all after them hashed anew. */
  const chained = (rows: readonly Line[], mark: boolean): Line[] => {
    let previous = '00'.repeat(32)
    return rows.map(({ body, content }) => {
      const changed = content!.replace('model-3', 'model-9')
      const link = {
        ...(JSON.parse(body) as object),
        previous,
        content: contentHash(changed),
        ...(mark ? { locked: true } : {}),
      }
      const text = canonicalJson(link)
      previous = chainHash(AUDIT_CHAIN.entryDomain, text)
      return { body: text, hash: previous, signature: '', content: changed }
    })
  }
  const forgeries: readonly [string, (rows: Line[]) => Line[], number][] = [
    ['the signatures stripped', (rows) => rows.map(without), 1],
    ['one signature stripped', (rows) => rows.map((row, index) => (index === 2 ? without(row) : row)), 3],
    ['the last signature stripped', (rows) => rows.map((row, index) => (index === 4 ? without(row) : row)), 5],
    ['nothing left', () => [], 1],
    ['entries swapped', ([a, b, c, d, e]) => [a!, c!, b!, d!, e!], 2],
    ['its end cut off', (rows) => rows.slice(0, 3), 4],
    ['its beginning cut off', (rows) => rows.slice(1), 1],
    ['an entry twice', (rows) => [...rows, rows[4]!], 6],
    ['its chain made anew', (rows) => chained(rows, false), 1],
    ['its chain made anew as of a locked key', (rows) => chained(rows, true), 1],
    ['an end of a locked key put on', (rows) => [...rows, ...chained([...rows, rows[4]!], true).slice(5)], 6],
  ]
  test.each(forgeries)('forged, with %s, does not verify, whatever its first line says', async (_, forge, entry) => {
    await filled()
    const { first, rows } = read(lines())
    const forged = forge(rows)
    const text = (head: object): string => [head, ...forged].map((line) => JSON.stringify(line)).join('\n')
    expect(checkExport(text(first), []).report.trouble?.entry).toBe(entry)
    // With a first line that fits, but that nobody signed.
    const fitting = { ...first, seq: forged.length, hash: forged.at(-1)?.hash ?? '00'.repeat(32) }
    expect(checkExport(text(fitting), []).report.trouble).not.toBeNull()
    const { signature: _signature, ...unsigned } = fitting as Record<string, unknown>
    expect(await codeOf(async () => checkExport(text(unsigned), []))).toBe('WEFT-TRU-085')
    expect(await codeOf(async () => checkExport(text({ ...fitting, signature: '' }), []))).toBe('WEFT-TRU-085')
  })

  test('of one entry, with signatures stripped or its end cut off, proves nothing', async () => {
    await filled()
    const { first, rows } = read(lines(3))
    const verdict = (of: readonly Line[]): unknown =>
      checkExport([first, ...of].map((line) => JSON.stringify(line)).join('\n'), []).report.trouble
    expect(verdict(rows)).toBeNull()
    expect(verdict(rows.map(without))).not.toBeNull()
    expect(verdict(rows.slice(0, 2))).not.toBeNull()
  })

  test('proves one entry and shows nothing of the others', async () => {
    const log = await filled()
    const proof = lines(3)
    expect(proof).toContain('model-2')
    for (const other of [0, 1, 3, 4]) expect(proof).not.toContain(`model-${other}`)
    const checked = checkExport(proof, [{ ...log.head(), by: 'b' }])
    expect(checked.kind).toBe('proof')
    expect(checked.report).toMatchObject({ trouble: null, entries: 5 })
    expect(checked.report.witnesses).toHaveLength(1)
    expect(checked.entries.map(({ target }) => target)).toEqual(['model-2'])
    expect(checkExport(proof.replace('model-2', 'model-9'), []).report.trouble?.entry).toBe(3)
    await expect(codeOf(async () => lines(6))).resolves.toBe('WEFT-TRU-084')
  })

  test.each(['', '{}', '{"schema":"weft.audit-proof/1","peer":"x"}', 'x\ny', '[1]'])(
    'that is none: %j',
    async (text) => {
      expect(await codeOf(async () => checkExport(text, []))).toBe('WEFT-TRU-085')
    },
  )
})

describe('what is in it', () => {
  test('is identifiers alone: prompts, paths, addresses, keys and names do not come in', async () => {
    const canaries = [
      'Patient Jane Roe has',
      'C:\\scans\\roe',
      '/srv/roe/x',
      '/ip4/192.0.2.7/tcp/1',
      'wk_secretsecret',
      'Zoë',
    ]
    const log = open()
    for (const text of canaries)
      await log.record({ who: text, what: 'deploy', target: text, rule: text, result: 'ok', facts: { a: text } })
    const bytes = readFileSync(places.path).toString('latin1')
    for (const text of canaries) expect(bytes).not.toContain(Buffer.from(text).toString('latin1'))
    expect(check()).toMatchObject({ entries: canaries.length, trouble: null })
  })
})
