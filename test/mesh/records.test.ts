import * as fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { createIntake } from '../../src/mesh/intake.ts'
import type { Intake } from '../../src/mesh/intake.ts'
import { AWAY_KEEP_MS, MAX_RECORDS_PER_AUTHOR, UPDATE_BURST } from '../../src/mesh/limits.ts'
import { standingPlacement } from '../../src/mesh/placements.ts'
import { RecordBook } from '../../src/mesh/record-book.ts'
import { isGenuine, readRecord, sealRecord } from '../../src/mesh/records.ts'
import type { MeshRecord } from '../../src/mesh/records.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { DIGEST, profile } from './support/make-mesh.ts'
import { virtualClock } from './support/virtual-clock.ts'
import type { VirtualClock } from './support/virtual-clock.ts'

const author = newIdentity()
const self = newIdentity()
const friend = newIdentity().id

let clock: VirtualClock
let book: RecordBook
let intake: Intake
let denied: Set<string>

beforeEach(() => {
  clock = virtualClock()
  denied = new Set()
  book = new RecordBook({ clock, isNear: () => false, changed: () => undefined })
  const membership = {
    epoch: 0,
    admits: (peer: string, purpose: string) => !denied.has(`${peer} ${purpose}`),
    isRemoved: () => false,
  }
  intake = createIntake({ self: self.id, clock, book, membership })
})

const SPEED = {
  digest: DIGEST,
  block_ms: 0.6,
  prefill_ms: null,
  predicted_block_ms: 0.5,
  predicted_prefill_ms: 0.1,
  error: 0.5,
}
const USE = { digest: DIGEST, tokens_per_minute: 64, step_tokens: 1.9, step_rows: 3 }
const BATCH = [{ rows: 8, factor: 1.9 }]
const LINK = { peer: 'b', rtt_ms: 1, jitter_ms: null, loss: 0, down: 1e8, up: null, relayed: false }
const PROFILE = { ...profile('anna'), addresses: ['/ip4/10.0.0.1/tcp/1'] }

async function sealed(changes: Partial<Omit<MeshRecord, 'author'>> = {}, by = author): Promise<Uint8Array> {
  const record = { kind: 'profile', key: '', version: clock.wall(), body: PROFILE, ...changes }
  return (await sealRecord(by, record)).bytes
}

const measured = (hardware: object): object => ({ ...PROFILE, hardware: { ...PROFILE.hardware, ...hardware } })

const placement = (epoch: number, stages: unknown[] = [{ peer: 'origin', from: 0, to: 2 }]): object => {
  return { epoch, digest: DIGEST, kind: 'chosen', stages }
}

describe('a signed record', () => {
  it('is read and verified as it was sealed', async () => {
    const record = readRecord(await sealed())
    expect(record?.record).toMatchObject({ kind: 'profile', author: author.id, body: PROFILE })
    expect(isGenuine(record!)).toBe(true)
  })

  it('is void when any bit of it has changed', async () => {
    const bytes = await sealed()
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const damaged = Uint8Array.from(bytes)
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        const record = readRecord(damaged)
        expect(record !== undefined && isGenuine(record)).toBe(false)
      }),
      { numRuns: 300 },
    )
  })

  it('has one spelling only', async () => {
    const bytes = await sealed()
    const json = Buffer.from(bytes.subarray(64)).toString('utf8')
    const spaced = Buffer.concat([bytes.subarray(0, 64), Buffer.from(json.replace('{', '{ '))])
    expect(readRecord(spaced)).toBeUndefined()
  })

  it('is never read from garbage, and garbage never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => readRecord(bytes) === undefined))
    const deep = Buffer.concat([Buffer.alloc(64), Buffer.from('['.repeat(60_000))])
    expect(readRecord(deep)).toBeUndefined()
    const nested = `{"author":"${author.id}","body":${'['.repeat(30_000)}${']'.repeat(30_000)},"key":"","kind":"x","version":1}`
    expect(readRecord(Buffer.concat([Buffer.alloc(64), Buffer.from(nested)]))).toBeUndefined()
  })

  it('is not sealed above the limit', async () => {
    await expect(sealed({ kind: 'x', body: 'x'.repeat(70_000) })).rejects.toMatchObject({ code: 'WEFT-DSC-102' })
  })
})

describe('a record that arrives', () => {
  it('is accepted once, then known; and again when it is newer', async () => {
    const bytes = await sealed()
    expect(intake.offer(bytes, 0, author.id).verdict).toBe('accepted')
    expect(intake.offer(bytes, 0, friend).verdict).toBe('known')
    expect(intake.offer(await sealed({ version: clock.wall() - 1 }), 0, author.id).verdict).toBe('known')
    expect(intake.offer(await sealed({ version: clock.wall() + 1 }), 0, author.id).verdict).toBe('accepted')
  })

  it('is forged when somebody else signed it, and nothing of it stays', async () => {
    const bytes = await sealed()
    const other = newIdentity()
    const json = Buffer.from(bytes.subarray(64))
    const forged = Buffer.concat([other.sign(Buffer.concat([Buffer.from('weft mesh record 1\n'), json])), json])
    expect(intake.offer(forged, 0, friend).verdict).toBe('forged')
    expect(book.entries()).toEqual([])
    expect(intake.offer(bytes, 0, friend).verdict).toBe('accepted')
  })

  it('signed for another purpose does not count', async () => {
    const json = (await sealed()).subarray(64)
    const forged = Buffer.concat([author.sign(json), json])
    expect(intake.offer(forged, 0, author.id).verdict).toBe('forged')
  })

  it('of an unknown kind is not kept, and not asked for again', async () => {
    const bytes = await sealed({ kind: 'horoscope', body: {} })
    expect(intake.offer(bytes, 0, author.id)).toMatchObject({ verdict: 'refused' })
    expect(book.recordsOf(author.id)).toEqual([])
    expect(book.entries()).toEqual([['horoscope', '', author.id, clock.wall()]])
    expect(intake.offer(bytes, 0, author.id).verdict).toBe('known')
  })

  it.each([
    ['profile', '', { ...PROFILE, hardware: undefined }],
    ['profile', '', { ...PROFILE, name: 'x'.repeat(1000) }],
    ['profile', '', { ...PROFILE, addresses: Array(100).fill('/ip4/1.1.1.1/tcp/1') }],
    ['profile', 'second', PROFILE],
    ['profile', '', null],
    ['profile', '', measured({ memory_bandwidth: -1 })],
    ['profile', '', measured({ memory_bandwidth: 1e300 })],
    ['profile', '', measured({ memory_bandwidth: null })],
    ['profile', '', measured({ thermal: { celsius: 1e9, limit_celsius: null, limited: false } })],
    ['profile', '', measured({ battery: { percent: 101, discharging: true } })],
    ['profile', '', measured({ models: [{ ...SPEED, block_ms: -1 }] })],
    ['profile', '', measured({ models: [{ ...SPEED, error: 1e300 }] })],
    ['profile', '', measured({ models: [{ ...SPEED, digest: 'x' }] })],
    ['profile', '', measured({ models: [{ ...SPEED, batch: [{ rows: 8, factor: -1 }] }] })],
    ['profile', '', measured({ models: [{ ...SPEED, batch: [{ rows: 1.5, factor: 2 }] }] })],
    ['profile', '', measured({ models: [{ ...SPEED, batch: [{ rows: 8, factor: 1e300 }] }] })],
    ['profile', '', measured({ models: [{ ...SPEED, batch: Array.from({ length: 9 }, () => BATCH[0]) }] })],
    ['profile', '', measured({ models: Array.from({ length: 65 }, () => SPEED) })],
    ['profile', '', { ...PROFILE, use: [{ ...USE, step_tokens: 0 }] }],
    ['profile', '', { ...PROFILE, use: [{ ...USE, step_rows: 1e300 }] }],
    ['profile', '', { ...PROFILE, links: [{ ...LINK, loss: 2 }] }],
    ['profile', '', { ...PROFILE, links: [{ ...LINK, rtt_ms: 'soon' }] }],
    ['profile', '', { ...PROFILE, links: [{ ...LINK, down: 1e300 }] }],
    ['profile', '', { ...PROFILE, links: Array.from({ length: 65 }, () => LINK) }],
    ['holdings', '', { models: [{ model: 'm', digest: DIGEST, tensors: [[4, 2]], stages: [] }] }],
    ['holdings', '', { models: [{ model: 'm', digest: 'short', tensors: [], stages: [] }] }],
    ['manifest', 'cd'.repeat(32), { model: 'm', digest: DIGEST, bytes: 1, blocks: 3, boundary: 'f16', license: '' }],
    ['manifest', DIGEST, { model: 'm', digest: DIGEST, bytes: -1, blocks: 3, boundary: 'f16', license: '' }],
    ['placement', 'm', placement(0)],
    ['placement', 'm', placement(2 ** 31)],
    ['placement', '', placement(1)],
    ['placement', 'm', placement(1, [{ peer: 'a', from: 1, to: 2 }])],
  ])('as %s %o with a wrong body is not kept', async (kind, key, body) => {
    expect(intake.offer(await sealed({ kind, key, body }), 0, author.id).verdict).toBe('refused')
    expect(book.recordsOf(author.id)).toEqual([])
  })

  it('may say more than this version knows', async () => {
    const bytes = await sealed({ body: { ...PROFILE, mood: 'good' } })
    expect(intake.offer(bytes, 0, author.id).verdict).toBe('accepted')
    expect(book.find('profile', author.id)?.body).toEqual(PROFILE)
    // What is passed on is what was signed.
    expect(book.find('profile', author.id)?.bytes).toEqual(bytes)
  })

  it('may tell what was measured, or nothing of it as the version before did', async () => {
    const hardware = { memory_bandwidth: 1e10, thermal: null, battery: { percent: 61, discharging: true } }
    const models = [SPEED, { ...SPEED, batch: BATCH }]
    const body = {
      ...measured({ ...hardware, models: models.map((each) => ({ ...each, mood: 1 })) }),
      links: [LINK],
      use: [USE],
    }
    expect(intake.offer(await sealed({ body }), 0, author.id).verdict).toBe('accepted')
    const kept = { ...PROFILE, hardware: { ...PROFILE.hardware, ...hardware, models }, links: [LINK], use: [USE] }
    expect(book.find('profile', author.id)?.body).toEqual(kept)
    expect(intake.offer(await sealed({ version: clock.wall() + 1 }), 0, author.id).verdict).toBe('accepted')
    expect(book.find('profile', author.id)?.body).toEqual(PROFILE)
  })

  it('from the far future is refused, and the next one from now is fine', async () => {
    const future = await sealed({ version: clock.wall() + 20 * 365 * 86_400_000 })
    expect(intake.offer(future, 0, author.id).verdict).toBe('refused')
    expect(intake.offer(await sealed(), 0, author.id).verdict).toBe('accepted')
  })

  it('is taken by a peer whose clock was never set', async () => {
    const bytes = await sealed()
    clock.setWall(0)
    expect(intake.offer(bytes, 0, author.id).verdict).toBe('accepted')
  })

  it('of an author that was silent for long is not taken up', async () => {
    expect(intake.offer(await sealed(), AWAY_KEEP_MS + 1, friend).verdict).toBe('refused')
    expect(intake.offer(await sealed(), AWAY_KEEP_MS - 1, friend).verdict).toBe('accepted')
  })

  it('of ours, newer than what we have, is handed back to be said anew', async () => {
    expect(intake.offer(await sealed({}, self), 0, friend).verdict).toBe('own')
    expect(book.entries()).toEqual([])
  })

  it('of an author who is not admitted is refused', async () => {
    denied.add(`${author.id} connect`)
    expect(intake.offer(await sealed(), 0, friend).verdict).toBe('refused')
    denied.clear()
    denied.add(`${author.id} place`)
    expect(intake.offer(await sealed(), 0, friend).verdict).toBe('accepted')
    expect(intake.offer(await sealed({ kind: 'placement', key: 'm', body: placement(1) }), 0, friend).verdict).toBe(
      'refused',
    )
  })
})

describe('a flood', () => {
  it('of updates of one record is cut, and others are not', async () => {
    const verdicts: string[] = []
    for (let index = 0; index < UPDATE_BURST + 10; index++) {
      verdicts.push(intake.offer(await sealed({ version: clock.wall() + index }), 0, author.id).verdict)
    }
    expect(verdicts.slice(0, UPDATE_BURST)).toEqual(Array(UPDATE_BURST).fill('accepted'))
    expect(verdicts.slice(UPDATE_BURST)).toEqual(Array(10).fill('limited'))
    expect(intake.offer(await sealed({}, newIdentity()), 0, author.id).verdict).toBe('accepted')
    await clock.advance(1000)
    expect(intake.offer(await sealed({ version: clock.wall() + 1000 }), 0, author.id).verdict).toBe('accepted')
  })

  it('of records of one author stops at a limit', async () => {
    for (let index = 0; index < MAX_RECORDS_PER_AUTHOR + 10; index++) {
      const digest = index.toString(16).padStart(64, '0')
      const body = { model: 'm', digest, bytes: 1, blocks: 3, boundary: 'f16', license: '' }
      intake.offer(await sealed({ kind: 'manifest', key: digest, body }), 0, author.id)
    }
    expect(book.recordsOf(author.id)).toHaveLength(MAX_RECORDS_PER_AUTHOR)
  })

  it('of placed models stops at a limit, and so does a leap of the epoch', async () => {
    for (let index = 0; index < 300; index++) {
      const by = index % 100 === 0 ? newIdentity() : author
      intake.offer(await sealed({ kind: 'placement', key: `m${index}`, body: placement(1) }, by), 0, friend)
    }
    expect(new Set(book.ofKind('placement').map(({ key }) => key)).size).toBeLessThanOrEqual(256)
    const leap = await sealed({ kind: 'placement', key: 'm1', body: placement(2 ** 30), version: clock.wall() + 1 })
    expect(intake.offer(leap, 0, friend).verdict).toBe('refused')
  })
})

describe('two placements of one model', () => {
  it('have the same winner in whatever order they arrive', async () => {
    const authors = [newIdentity(), newIdentity(), newIdentity()]
    const records: Uint8Array[] = []
    for (const [index, by] of authors.entries()) {
      const body = placement(index < 2 ? 7 : 3)
      records.push(await sealed({ kind: 'placement', key: 'm', body }, by))
    }
    const winner = [authors[0]!.id, authors[1]!.id].sort()[1]
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const fresh = new RecordBook({ clock, isNear: () => false, changed: () => undefined })
      const membership = { epoch: 0, admits: () => true, isRemoved: () => false }
      const judge = createIntake({ self: self.id, clock, book: fresh, membership })
      for (const index of order) expect(judge.offer(records[index]!, 0, friend).verdict).toBe('accepted')
      expect(standingPlacement(fresh, 'm')?.author).toBe(winner)
    }
  })
})
