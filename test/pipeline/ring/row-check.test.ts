/** A door that looks at rows: what it refuses, whom it names, and what a hop says of the rows that it sends. */
import * as fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { decodeControl, DTYPE, frame } from '../../../src/net/index.ts'
import type { Frame, FrameInit } from '../../../src/net/index.ts'
import { HOST } from '../../../src/pipeline/host/protocol.ts'
import { RowDigest } from '../../../src/pipeline/ring/digest.ts'
import { decodeBroken, RING } from '../../../src/pipeline/ring/protocol.ts'
import type { RouteOpen } from '../../../src/pipeline/ring/protocol.ts'
import { OUTLIER, RowCheck, SPARE } from '../../../src/pipeline/ring/row-check.ts'
import type { LevelRange, Outlier } from '../../../src/pipeline/ring/row-check.ts'
import { NOT_FINITE } from '../../../src/pipeline/ring/witness.ts'
import { LEAST_LEVEL, levelOfHalves, levelOfSingles } from '../../../src/pipeline/row-level.ts'
import { opened, SELF, settled, stageRing } from '../support/ring.ts'
import type { StageRing, Stranger } from '../support/ring.ts'

const halves = (values: readonly number[]): Uint16Array => new Uint16Array(Float16Array.from(values).buffer)
const singles = (values: readonly number[]): Uint32Array => new Uint32Array(Float32Array.from(values).buffer)
const bytes = (values: readonly number[]): Uint8Array => new Uint8Array(halves(values).buffer)
/** As large as ordinary rows, and not all the same. */
const plain = (width: number): number[] => Array.from({ length: width }, (_, at) => (at % 2 === 0 ? 1 : -1.5))

describe('the level of a row', () => {
  const value = fc.double({ min: 0.01, max: 100, noNaN: true })
  const row = fc.array(value, { minLength: 1, maxLength: 64 })

  it('rises by one where all is doubled, whatever its signs', () => {
    fc.assert(
      fc.property(row, fc.integer({ min: 0, max: 6 }), (values, power) => {
        const more = values.map((each, at) => each * 2 ** power * (at % 2 === 0 ? 1 : -1))
        expect(levelOfHalves(halves(more)) - levelOfHalves(halves(values))).toBeCloseTo(power)
      }),
    )
  })

  it('is the same of float16 and float32, but for what float16 rounds', () => {
    fc.assert(
      fc.property(row, (values) => {
        const rounded = [...Float16Array.from(values)]
        expect(levelOfSingles(singles(rounded))).toBeCloseTo(levelOfHalves(halves(rounded)))
      }),
    )
    expect(levelOfSingles(singles([0, 1e-30]))).toBe(LEAST_LEVEL)
    expect(levelOfHalves(halves([0, 1e-30]))).toBe(LEAST_LEVEL)
  })

  it('hardly moves with one element that is huge, and is none where one is no number', () => {
    const massive = [28_000, ...plain(575)]
    expect(levelOfHalves(halves(massive)) - levelOfHalves(halves(plain(576)))).toBeLessThan(0.03)
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      expect(levelOfHalves(halves([1, bad]))).toBeNaN()
      expect(levelOfSingles(singles([1, bad]))).toBeNaN()
    }
  })
})

const WIDTH = 64
const DIGEST = 'a'.repeat(64)
const over = (...peers: readonly string[]): RouteOpen['route'] =>
  peers.map((peer, at) => ({ peer, from: 4 * at, to: 4 * at + 4 }))

describe('a hop', () => {
  let found: Outlier[]
  let asked: unknown[]
  let range: LevelRange | undefined
  let world: StageRing
  let origin: Stranger
  let before: Stranger
  let next: Stranger
  let digest: RowDigest

  /** One by itself, of a session of `o`'s. */
  function checkOf(changes: { readonly isAdapted?: boolean; readonly isAudited?: boolean }): RowCheck {
    const gate = { levels: () => range, outlier: (outlier: Outlier) => void found.push(outlier) }
    const session = { self: SELF, origin: 'o', digest: DIGEST, from: 4, to: 8 }
    return new RowCheck({ gate, ...session, isAdapted: false, isAudited: false, ...changes })
  }

  beforeEach(async () => {
    ;[found, asked, range, digest] = [[], [], { low: -1, high: 1 }, new RowDigest()]
    const levels = (...what: unknown[]): LevelRange | undefined => {
      asked.push(what)
      return range
    }
    world = stageRing({ rows: { levels, outlier: (outlier) => void found.push(outlier) } })
    origin = await world.stranger('origin')
    before = await world.stranger('before')
    next = await world.stranger('next')
  })

  const open = (change: Partial<RouteOpen> = {}): Promise<void> =>
    origin.open({ route: over('before', SELF, 'next'), ...change }, { hop: 1 })
  const send = (rows: readonly (readonly number[])[], position = 0, more: Partial<FrameInit> = {}): Promise<void> => {
    const payload = bytes(rows.flat())
    const content = { dtype: DTYPE.f16, dims: [rows.length, WIDTH], payload, digest: digest.next(payload) }
    return before.say({ type: RING.rows, hop: 1, position, rows: rows.length, ...content, ...more })
  }
  const given = (): number => world.host.given.filter(({ type }) => type === HOST.run).length
  const told = (): unknown[] =>
    origin.heard.filter(({ type }) => type === RING.broken).map((message) => decodeBroken(message))
  const times = (factor: number): number[] => plain(WIDTH).map((each) => each * factor)
  const computed = async (values: readonly number[]): Promise<Frame[]> => {
    const rows = { dtype: DTYPE.f16, dims: [1, WIDTH], rows: 1, payload: bytes(values) } as const
    world.host.say(frame({ type: HOST.rows, request: opened(world.host)[0]!, ...rows }))
    await settled()
    return next.heard.filter(({ type }) => type === RING.rows)
  }

  it('computes with rows within the range, and up to sixteen times beyond', async () => {
    await open()
    await send([plain(WIDTH), times(2 ** SPARE), times(2 ** -SPARE)])
    expect([given(), found, told()]).toEqual([1, [], []])
    expect(asked).toEqual([[DIGEST, 4, 'before']])
  })

  it.each([
    ['zeros', times(0), OUTLIER],
    ['small', times(2 ** -9), OUTLIER],
    ['large', times(1_000), OUTLIER],
    ['not-finite', [Number.NaN, ...plain(WIDTH - 1)], NOT_FINITE],
    ['not-finite', [...plain(WIDTH - 1), -Infinity], NOT_FINITE],
  ] as const)('computes with nothing of a frame where a row is %s, nor of what follows', async (kind, row, why) => {
    await open()
    await send([plain(WIDTH)])
    await send([plain(WIDTH), row], 1)
    await send([plain(WIDTH)], 3)
    expect(given()).toBe(1)
    expect(told()).toEqual([{ peer: 'before', why, gone: false }])
    expect(found).toEqual([
      { kind, peer: 'before', origin: 'origin', digest: DIGEST, block: 4, position: 2, isStated: false },
    ])
  })

  it('takes rows of any size where nobody has measured them, and what are no numbers never', async () => {
    range = undefined
    await open()
    await send([times(1_000)])
    expect(given()).toBe(1)
    await send([[Number.NaN, ...plain(WIDTH - 1)]], 1)
    expect([given(), found.map(({ kind }) => kind)]).toEqual([1, ['not-finite']])
  })

  it('says of its rows which they are where it has looked at those that they come from', async () => {
    await open()
    await send([plain(WIDTH)])
    const [rows] = await computed(plain(WIDTH))
    // The next door reads them so: of blocks from 8 on, and of no others.
    const door = (digest: string, from: number): Outlier[] => {
      const seen: Outlier[] = []
      const gate = { levels: () => ({ low: 8, high: 9 }), outlier: (each: Outlier) => void seen.push(each) }
      new RowCheck({
        gate,
        self: 'next',
        origin: 'o',
        digest,
        from,
        to: from + 1,
        isAdapted: false,
        isAudited: false,
      }).refuses(SELF, rows!)
      return seen
    }
    expect(door(DIGEST, 8)).toMatchObject([{ isStated: true }])
    expect(door(DIGEST, 7)).toMatchObject([{ isStated: false }])
    expect(door('b'.repeat(64), 8)).toMatchObject([{ isStated: false }])
  })

  it('says nothing of them where it could not look', async () => {
    range = undefined
    await open()
    await send([plain(WIDTH)])
    const [rows] = await computed(plain(WIDTH))
    expect(rows!.stated).toEqual(new Uint8Array(16))
  })

  it('does not send on what are no numbers: the session fails here, by a code', async () => {
    await open()
    await send([plain(WIDTH)])
    expect(await computed([Infinity, ...plain(WIDTH - 1)])).toEqual([])
    const errors = origin.heard.filter(({ type }) => type === RING.error)
    expect(errors.map(({ control }) => decodeControl(control))).toMatchObject([{ code: 'WEFT-INF-036' }])
    expect(world.ring.guests).toBe(0)
  })

  it('does not look at what this peer itself sends', () => {
    const check = checkOf({})
    const rows = frame({ type: RING.rows, dtype: DTYPE.f16, dims: [1, WIDTH], payload: bytes(times(0)) })
    expect(check.refuses(SELF, rows)).toBeUndefined()
    expect(check.refuses('other', rows)).toBe(OUTLIER)
    expect(found).toHaveLength(1)
  })

  it('of an audited session tells of rows of a wrong size once, leaves them to the audit, and vouches for nothing then', () => {
    const check = checkOf({ isAudited: true })
    const rows = frame({ type: RING.rows, dtype: DTYPE.f16, dims: [1, WIDTH], payload: bytes(times(0)) })
    expect(check.stated('other')).not.toEqual(new Uint8Array(16))
    expect(check.refuses('other', rows)).toBeUndefined()
    expect(check.refuses('other', rows)).toBeUndefined()
    expect(found.map(({ kind }) => kind)).toEqual(['zeros'])
    expect(check.stated('other')).toEqual(new Uint8Array(16))
    const bad = { ...rows, payload: bytes([Number.NaN, ...plain(WIDTH - 1)]) }
    expect(check.refuses('other', bad)).toBe(NOT_FINITE)
  })

  it('with an adapter in its session asks for no range, and says nothing of its rows', () => {
    const check = checkOf({ isAdapted: true })
    const rows = frame({ type: RING.rows, dtype: DTYPE.f16, dims: [1, WIDTH], payload: bytes(times(1_000)) })
    expect(check.refuses('other', rows)).toBeUndefined()
    expect(check.stated('other')).toEqual(new Uint8Array(16))
    expect(check.stated(undefined)).toEqual(new Uint8Array(16))
  })
})
