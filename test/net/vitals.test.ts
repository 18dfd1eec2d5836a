/** What is made of heart-beats: who is taken for frozen, over which ways a beat goes, and how long each is waited for. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { channelOverStream } from '../../src/net/channel-carriers.ts'
import { FIRST_WAY_WAIT_MS, LOSSY_WAIT_MS } from '../../src/net/constants.ts'
import { servePings } from '../../src/net/heartbeat.ts'
import type { Channel } from '../../src/net/index.ts'
import type { Link } from '../../src/net/links.ts'
import { Vitals } from '../../src/net/vitals.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'
import { line } from './line.ts'
import type { Line } from './line.ts'

const ONE_WAY_MS = 20
/** Once, and the line is one that loses packets. */
const LATE_MS = 640

let clock: VirtualClock
let vitals: Vitals
let link: Link
let first: Line
/** Lanes that were opened. */
let lanes: Line[]
/** Whether another can be had, and how long each takes from its first byte on. */
let [hasLanes, laneMs] = [true, ONE_WAY_MS]
/** When lanes were asked for, and when the connection was cut. */
let asked: number[]
let cuts: number[]
let counted: Map<string, number>

beforeEach(async () => {
  clock = virtualClock()
  first = line(clock, ONE_WAY_MS)
  lanes = []
  ;[hasLanes, laneMs] = [true, ONE_WAY_MS]
  asked = []
  cuts = []
  counted = new Map()
  servePings(channelOverStream(first.far, 'self'))
  const connection = {
    status: 'open',
    newStream: () => Promise.resolve(first.near),
    abort: () => cuts.push(clock.now()),
  }
  link = { peer: 'a', connection } as unknown as Link
  vitals = new Vitals({
    clock,
    telemetry: {
      count: (name, by = 1) => void counted.set(name, (counted.get(name) ?? 0) + by),
      observe: () => undefined,
    },
    lane: () => {
      asked.push(clock.now())
      return Promise.resolve(hasLanes ? lane() : undefined)
    },
  })
  vitals.begin(link)
  vitals.watch('a')
  await clock.advance(5_000)
})
afterEach(() => vitals.stop())

function lane(): Channel {
  const opened = line(clock, laneMs)
  lanes.push(opened)
  servePings(channelOverStream(opened.far, 'self'))
  return channelOverStream(opened.near, 'a')
}

/** What is sent within a second takes this long, there and back. */
async function lateBy(ms: number): Promise<void> {
  first.takes(ms - ONE_WAY_MS)
  await clock.advance(1_000)
  first.takes(ONE_WAY_MS)
  await clock.advance(Math.max(4_000, 2 * ms))
}

const second = (): number => counted.get('heartbeats_second') ?? 0

describe('a watched line', () => {
  it('that answers evenly has no second way, and one that loses packets has one', async () => {
    expect(asked).toEqual([])
    await lateBy(LATE_MS)
    expect([asked.length, lanes.length]).toEqual([1, 1])
    expect(cuts).toEqual([])
  })

  it('is not cut for a beat that comes in time over the second way alone, and such beats are counted', async () => {
    await lateBy(LATE_MS)
    expect(second()).toBe(0)
    await lateBy(2_500)
    expect(cuts).toEqual([])
    expect(second()).toBeGreaterThan(0)
  })

  it('is known to be gone within 2.5 s when both ways are silent', async () => {
    await lateBy(LATE_MS)
    const at = clock.now()
    for (const each of [first, ...lanes]) each.takes(Infinity)
    await clock.advance(10_000)
    expect(cuts).toHaveLength(1)
    expect(cuts[0]! - at).toBeLessThanOrEqual(2_500)
  })

  it('is known as soon from the first beat on after a second way was opened', async () => {
    first.takes(LATE_MS - ONE_WAY_MS)
    while (lanes.length === 0) await clock.advance(10)
    first.takes(ONE_WAY_MS)
    await clock.advance(LATE_MS)
    const at = clock.now()
    for (const each of [first, ...lanes]) each.takes(Infinity)
    await clock.advance(10_000)
    expect(cuts).toHaveLength(1)
    expect(cuts[0]! - at).toBeLessThanOrEqual(2_500)
  })

  it('is cut when its own connection is silent for 7 s, though the second answers', async () => {
    await lateBy(LATE_MS)
    const at = clock.now()
    first.takes(Infinity)
    await clock.advance(10_000)
    expect(cuts).toHaveLength(1)
    expect(cuts[0]! - at).toBeGreaterThan(FIRST_WAY_WAIT_MS - 1)
    expect(cuts[0]! - at).toBeLessThanOrEqual(FIRST_WAY_WAIT_MS + 1_000)
  })

  it.each([
    ['has never answered', Infinity],
    ['answers no more', ONE_WAY_MS],
  ])('is given longer while a second way that is there %s', async (_, ms) => {
    laneMs = ms
    await lateBy(LATE_MS)
    laneMs = Infinity
    for (const each of lanes) each.takes(Infinity)
    await clock.advance(3_000)
    await lateBy(2_500)
    expect(cuts).toEqual([])
    expect(second()).toBe(0)
    const at = clock.now()
    first.takes(Infinity)
    await clock.advance(10_000)
    expect(cuts).toHaveLength(1)
    expect(cuts[0]! - at).toBeGreaterThan(LOSSY_WAIT_MS - 1)
    expect(cuts[0]! - at).toBeLessThanOrEqual(LOSSY_WAIT_MS + 1_000)
  })

  it('is asked for a second way more and more seldom where none is to be had, and goes over one that comes at last', async () => {
    hasLanes = false
    await lateBy(LATE_MS)
    await clock.advance(30_000)
    await lateBy(LATE_MS)
    await clock.advance(30_000)
    expect(asked.length).toBeGreaterThan(3)
    expect(asked.length).toBeLessThan(9)
    hasLanes = true
    await lateBy(LATE_MS)
    await clock.advance(55_000)
    expect(lanes).toHaveLength(1)
    await lateBy(2_500)
    expect(second()).toBeGreaterThan(0)
    expect(cuts).toEqual([])
  })

  it('has another second way when the one that it had falls silent', async () => {
    await lateBy(LATE_MS)
    lanes[0]!.takes(Infinity)
    await clock.advance(FIRST_WAY_WAIT_MS + 3_000)
    expect(lanes).toHaveLength(2)
    expect(cuts).toEqual([])
    await lateBy(2_500)
    expect(second()).toBeGreaterThan(0)
  })
})
