import { describe, expect, it } from 'vitest'
import { startHeartbeat } from '../../src/net/heartbeat.ts'
import type { Pinger } from '../../src/net/heartbeat.ts'
import { FIRST_WAY_WAIT_MS } from '../../src/net/constants.ts'
import { BeatHistory } from '../../src/net/link-quality.ts'
import { SecondWay } from '../../src/net/second-way.ts'
import type { Channel } from '../../src/net/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'
import { seeded } from '../../bench/support/random.ts'

const BEATS = 6_000
const WAIT_MS = 1_450
const RTT_MS = 40
/** Of a segment or of what acknowledges it, at 5 % each way. */
const LOST = 1 - 0.95 ** 2
/** Before the first repetition; each further one after twice as long (RFC 6298). */
const REPEAT_MS = 250

/** A TCP connection over a line that loses packets: late ones hold up those behind them. */
function lossyPinger(clock: VirtualClock, random: () => number, isCut: () => boolean): Pinger {
  let free = 0
  return {
    async ping() {
      if (isCut()) return new Promise<number>(() => undefined)
      let ms = RTT_MS
      for (let wait = REPEAT_MS; random() < LOST; wait *= 2) ms += wait
      free = Math.max(free, clock.now() + ms)
      const trip = free - clock.now()
      await clock.sleep(trip)
      return trip
    },
    close: () => undefined,
  }
}

interface Watched {
  /** When it was taken for frozen. */
  readonly cuts: readonly number[]
  /** When beats came that were late on the first way. */
  readonly late: () => number
  stop(): void
}

function watch(clock: VirtualClock, ways: number, isCut: () => boolean): Watched {
  const random = seeded(5)
  const [first, second] = [lossyPinger(clock, random, isCut), lossyPinger(clock, random, isCut)]
  const cuts: number[] = []
  let late = 0
  const beats = startHeartbeat({
    clock,
    pinger: first,
    watched: () => true,
    second: () => (ways === 2 ? second : undefined),
    patience: () => WAIT_MS,
    measured: (rtt) => {
      if (rtt > WAIT_MS) late++
      return false
    },
    frozen: () => cuts.push(clock.now()),
    broken: () => undefined,
  })
  return { cuts, late: () => late, stop: () => beats.stop() }
}

describe('beats on a line that loses 5 % each way', () => {
  it('cut a sound peer over one connection, and none over two; a cut one is known within 2.5 s', async () => {
    const clock = virtualClock()
    let cut = false
    const one = watch(clock, 1, () => cut)
    const two = watch(clock, 2, () => cut)
    await clock.advance(BEATS * 1_000)
    // The control: the loss is there, and one connection alone would have ended for it.
    expect(one.cuts.length).toBeGreaterThan(2)
    expect(two.late()).toBeGreaterThan(2)
    expect(two.cuts).toEqual([])
    cut = true
    const at = clock.now()
    await clock.advance(2_500)
    // Answers that were under way when it was cut are not lost with it here.
    expect(two.cuts[0]).toBeLessThanOrEqual(at + 2_500)
    one.stop()
    two.stop()
  })

  it('end a connection that is lost alone, with what goes over it, though its peer answers over the other', async () => {
    const clock = virtualClock()
    let isLost = false
    const first = {
      ping: () => (isLost ? new Promise<number>(() => undefined) : clock.sleep(40).then(() => 40)),
      close: () => undefined,
    }
    const second = { ping: () => clock.sleep(60).then(() => 60), close: () => undefined }
    const silent: number[] = []
    const beats = startHeartbeat({
      clock,
      pinger: first,
      watched: () => true,
      second: () => second,
      patience: () => WAIT_MS,
      measured: () => false,
      frozen: (ms) => silent.push(ms),
      broken: () => undefined,
    })
    // The second answers later than the first, and nothing waits for the first any more.
    await clock.advance(60_000)
    expect(silent).toEqual([])
    isLost = true
    await clock.advance(7_000)
    expect(silent).toEqual([])
    await clock.advance(1_100)
    expect(silent).toEqual([7_000])
    beats.stop()
    expect(clock.waiting()).toBeLessThan(10)
  })

  it('that this machine slept through are judged when it is awake, whichever way answers first', async () => {
    const clock = virtualClock()
    let slept = 0
    const now = (): number => clock.now() + slept
    let [firstMs, secondMs] = [40, 40]
    const after = (ms: () => number) => ({ ping: () => clock.sleep(ms()).then(ms), close: () => undefined })
    const cuts: number[] = []
    const beats = startHeartbeat({
      clock: { ...clock, now },
      pinger: after(() => firstMs),
      watched: () => true,
      second: () => after(() => secondMs),
      patience: () => WAIT_MS,
      measured: () => false,
      frozen: () => cuts.push(now()),
      broken: () => undefined,
    })
    await clock.advance(1_000 - 1)
    // The next beat is under way when the machine sleeps, for longer than the first way may be silent.
    ;[firstMs, secondMs] = [80, 60]
    await clock.advance(20)
    slept += FIRST_WAY_WAIT_MS + 200
    await clock.advance(5_000)
    expect(cuts).toEqual([])
    firstMs = 1e9
    await clock.advance(1_000)
    slept += 3_600_000
    await clock.advance(FIRST_WAY_WAIT_MS + 2_000)
    expect(cuts.length).toBeGreaterThan(0)
    beats.stop()
  })

  it('are given longer over one, and go over two once there is another', () => {
    const beats = new BeatHistory()
    for (const trip of [41, 640]) beats.add('a', trip)
    expect([beats.losesPackets('a'), beats.patience('a')]).toEqual([true, 3_500])
    expect(beats.losesPackets('b')).toBe(false)
  })
})

describe('a second way', () => {
  function channel(): { readonly channel: Channel; readonly end: () => void; closed: number; sent: number } {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const made = { closed: 0, sent: 0, end: () => resolve(undefined) }
    const face = {
      remote: 'a',
      closed: promise,
      onFrame: () => undefined,
      send: async () => void made.sent++,
      close: async () => {
        made.closed++
        resolve(undefined)
      },
    }
    return Object.assign(made, { channel: face as unknown as Channel })
  }
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

  it('is opened when it is wanted, tried again when there was none, and closed when it was not wanted twice', async () => {
    const clock = virtualClock()
    const made = [undefined, channel(), channel()]
    let asked = 0
    const second = new SecondWay({ clock, open: async () => made[asked++]?.channel })
    /** Whether what is given goes over this one. */
    const goesOver = (which: 1 | 2): boolean => {
      const before = made[which]!.sent
      void second
        .of(true)
        ?.ping(0)
        .catch(() => undefined)
      return made[which]!.sent === before + 1
    }
    expect(second.of(false)).toBeUndefined()
    expect(asked).toBe(0)
    for (const expected of [undefined, undefined]) {
      expect(second.of(true)).toBe(expected)
      await turn()
    }
    // Not at once: each try costs.
    expect(asked).toBe(1)
    await clock.advance(1_000)
    expect(second.of(true)).toBeUndefined()
    await turn()
    expect(asked).toBe(2)
    expect(goesOver(1)).toBe(true)
    expect(second.of(false)).toBeUndefined()
    expect(goesOver(1)).toBe(true)
    second.of(false)
    expect(made[1]!.closed).toBe(0)
    second.of(false)
    expect(made[1]!.closed).toBe(1)
    // One that is lost is opened anew.
    second.of(true)
    await turn()
    expect([goesOver(1), goesOver(2)]).toEqual([false, true])
    made[2]!.end()
    await turn()
    // It has never answered either.
    expect(second.of(true)).toBeUndefined()
    expect(asked).toBe(3)
    await clock.advance(2_000)
    expect(second.of(true)).toBeUndefined()
    expect(asked).toBe(4)
    second.end()
  })
})
