/** Pairs of peers as they are measured: beats of real connections, and probes, asked for and flooded. */
import { afterEach, describe, expect, it } from 'vitest'
import { createProber, frame, serveProbes } from '../../src/net/index.ts'
import type { Channel, Network } from '../../src/net/index.ts'
import { startHeartbeat } from '../../src/net/heartbeat.ts'
import { BeatHistory, RoundTrips } from '../../src/net/link-quality.ts'
import { piece } from '../../src/net/probe-service.ts'
import { MAX_WAY_BYTES, PIECE_BYTES, PROBE, PROBE_EVERY_MS, PROBE_PROTOCOL } from '../../src/net/probe-wire.ts'
import { systemClock } from '../../src/util/index.ts'
import { createMemoryHub } from '../mesh/memory-network.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'
import { joined, networkPool, until } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

interface Counted {
  readonly counts: Map<string, number>
  count(name: string, by?: number, labels?: Readonly<Record<string, string>>): void
}

function counter(): Counted {
  const counts = new Map<string, number>()
  return {
    counts,
    count: (name, by = 1, labels = {}) => {
      const key = [name, ...Object.values(labels)].join(' ')
      counts.set(key, (counts.get(key) ?? 0) + by)
    },
  }
}

describe('the way to a peer', () => {
  it('is measured by the beats of a real connection, and known to be direct', async () => {
    const a = await pool.add()
    const b = await pool.add({ bootstrap: a.addresses() })
    await joined(a, b)
    const stop = b.watch(a.id)
    await until(() => typeof b.connected()[0]?.jitter === 'number')
    stop()
    const [peer] = b.connected()
    expect(peer).toMatchObject({ id: a.id, loss: 0, relayed: false })
    expect(peer!.rtt).toBeGreaterThan(0)
  })

  it('is what its last beats say, but for those that are late; jitter is of their steps, loss over the last sixty-four', () => {
    const trips = new RoundTrips()
    expect([trips.rtt, trips.jitter]).toEqual([null, null])
    // The first meets a process that has just begun.
    for (const ms of [400, 12, 10]) trips.add(ms)
    expect([trips.rtt, trips.jitter]).toEqual([10, 2])
    // One that is late says nothing of the line; the first is forgotten, since six in a row were quicker.
    for (const ms of [11, 90, 11, 10, 12, 11]) trips.add(ms)
    expect([trips.rtt, trips.jitter]).toEqual([10, (1 + 1 + 1 + 2 + 2) / 5])
    for (const ms of [11, 10, 11, 12, 10]) trips.add(ms)
    expect([trips.rtt, trips.jitter]).toEqual([10, 5 / 6])
    expect(trips.doubtful).toBe(false)
    // A line that varies by itself: its middle is as far from the quarter as that from the quickest.
    for (const ms of [20, 28, 24, 22, 30, 26, 29, 23, 25]) trips.add(ms)
    expect(trips.rtt).toBe(25)
    for (const ms of [20, 60, 22, 90, 22, 70, 21, 80, 95]) trips.add(ms)
    expect(trips.rtt).toBe(24)
    const beats = new BeatHistory()
    expect(beats.loss('a')).toBeNull()
    for (let beat = 0; beat < 100; beat++) beats.add('a', beat >= 40 && beat % 16 !== 0 ? 4 : undefined)
    expect(beats.loss('a')).toBe(8 / 64)
    for (let peer = 0; peer < 3_000; peer++) beats.add(`p${peer}`, 4)
    expect(beats.loss('a')).toBeNull()
  })

  it('has changed when six beats in a row say so, and not for five late ones', () => {
    const trips = new RoundTrips()
    const after = (...all: number[]): [rtt: number | null, doubtful: boolean] => {
      for (const ms of all) trips.add(ms)
      return [trips.rtt, trips.doubtful]
    }
    expect(after(10, 11, 10, 10, 11, 10, 10, 10, 11)).toEqual([10, false])
    // Within a quarter and a millisecond it is the same line.
    expect(after(13.4)).toEqual([10, false])
    expect(after(41, 44, 40, 43, 41)).toEqual([10, true])
    expect(after(12)).toEqual([10, false])
    // A busy machine: late six times, and each time otherwise; of the six one counts, as one every five seconds would.
    expect(after(30, 61, 19, 25, 90, 44)).toEqual([10, false])
    expect(after(41, 44, 40, 43, 41)).toEqual([10, true])
    expect(after(42)).toEqual([41, false])
    expect(trips.jitter).toBe((1 + 2 + 3) / 3)
    // Nothing makes an answer early, so shorter ones count at once, and after six the longer ones do not count as its jitter.
    expect(after(9, 10)).toEqual([11, true])
    expect(after(9, 9, 10)).toEqual([9, true])
    expect(after(9)).toEqual([9, false])
    expect(trips.jitter).toBe(2 / 3)
    expect(after(41, 8, 41, 9, 41, 8)).toEqual([9, false])
  })

  it('is given longer where beats differ as on a line that loses packets, and no longer than is promised elsewhere', () => {
    const beats = new BeatHistory()
    const after = (...trips: number[]): number => {
      for (const trip of trips) beats.add('a', trip)
      return beats.patience('a')
    }
    expect(beats.patience('a')).toBe(1_450)
    expect(after(41, 43, 60, 88)).toBe(1_450)
    // One packet was sent again.
    expect(after(123)).toBe(2_090)
    expect(after(640)).toBe(3_500)
    // As long as it is among the last sixty-four; a beat that was missed says nothing of the line.
    expect(after(...Array.from({ length: 63 }, () => 41))).toBe(3_500)
    beats.add('a', undefined)
    expect(after(41)).toBe(1_450)
  })

  it('is taken for cut when a watched beat takes longer than that', async () => {
    const clock = virtualClock()
    const silent: number[] = []
    const beat = (patience: number, answer: number): { stop(): void } =>
      startHeartbeat({
        clock,
        pinger: { ping: () => clock.sleep(answer).then(() => answer), close: () => undefined },
        watched: () => true,
        patience: () => patience,
        measured: () => false,
        frozen: (ms) => silent.push(ms),
        broken: () => undefined,
      })
    const sound = beat(3_500, 3_000)
    await clock.advance(10_000)
    expect(silent).toEqual([])
    // The next beat, and for each of three that are under way its answer and its end; none for those that were answered.
    expect(clock.waiting()).toBe(7)
    sound.stop()
    const cut = beat(1_450, 3_000)
    await clock.advance(1_460)
    expect(silent).toEqual([1_450])
    cut.stop()
  })

  it('is as old as its oldest beat without an answer, and fresh again with the answer', async () => {
    const clock = virtualClock()
    let trip = 40
    const beats = startHeartbeat({
      clock,
      pinger: { ping: () => clock.sleep(trip).then(() => trip), close: () => undefined },
      watched: () => false,
      patience: () => 1_450,
      measured: () => false,
      frozen: () => undefined,
      broken: () => undefined,
    })
    await clock.advance(1_000)
    expect(beats.silent()).toBe(0)
    trip = 9_000
    await clock.advance(4_000 + 7_000)
    expect(beats.silent()).toBe(7_000)
    trip = 40
    await clock.advance(2_100)
    // The beat after it was answered late too, and the third one is quick.
    expect(beats.silent()).toBeLessThan(9_000)
    await clock.advance(10_000)
    expect(beats.silent()).toBe(0)
    beats.stop()
  })
})

describe('a beat', () => {
  it('is followed by the next within half a second while the line may have changed, so that it is known within ten', async () => {
    const clock = virtualClock()
    const trips = new RoundTrips()
    let ms = 4
    const beats: number[] = []
    const beat = startHeartbeat({
      clock,
      pinger: { ping: () => clock.sleep(ms).then(() => ms), close: () => undefined },
      watched: () => false,
      patience: () => 1_450,
      measured: (trip) => {
        beats.push(clock.now())
        trips.add(trip)
        return trips.doubtful
      },
      frozen: () => undefined,
      broken: () => undefined,
    })
    await clock.advance(60_000)
    expect(beats.length).toBe(12)
    ms = 40
    await clock.advance(9_000)
    expect([trips.rtt, trips.doubtful]).toEqual([40, false])
    expect(beats.length).toBeLessThanOrEqual(19)
    // One that is late costs a beat more, and changes nothing.
    await clock.advance(11_000)
    const before = beats.length
    ms = 300
    while (beats.length === before) await clock.advance(100)
    ms = 40
    await clock.advance(20_000)
    expect(trips.rtt).toBe(40)
    expect(beats.length).toBeLessThanOrEqual(before + 6)
    beat.stop()
    expect(clock.waiting()).toBe(0)
  })
})

describe('a probe', () => {
  it('measures both ways of a real connection within its bytes; the second within ten seconds is the first', async () => {
    const [here, there] = [counter(), counter()]
    const clock = systemClock()
    const a = await pool.add()
    const b = await pool.add({ bootstrap: a.addresses() })
    await joined(a, b)
    serveProbes({ network: a, clock, telemetry: there })
    const prober = createProber({ network: b, clock, telemetry: here })
    const result = await prober.probe(a.id)
    expect(result.why).toBeNull()
    expect(result.down).toBeGreaterThan(1e6)
    expect(result.up).toBeGreaterThan(1e6)
    expect(result.bytes).toBeLessThanOrEqual(2e6)
    expect(await prober.probe(a.id)).toBe(result)
    expect([here.counts.get('probes sent'), there.counts.get('probes served')]).toEqual([1, 1])
    // Another asker of the same id, as after a restart: it is refused, and says how long for.
    const again = await createProber({ network: b, clock, telemetry: here }).probe(a.id)
    expect(again).toMatchObject({ down: null, up: null })
    expect(again.why).toMatch(/one probe in 10 s, the next in \d+ ms/)
    expect(there.counts.get('probes refused')).toBe(1)
  })

  it('of a peer that does not know it says so, and leaves lanes as they were', async () => {
    const a = await pool.add()
    const b = await pool.add({ bootstrap: a.addresses() })
    await joined(a, b)
    const prober = createProber({ network: b, clock: systemClock(), telemetry: counter() })
    expect(await prober.probe(a.id)).toMatchObject({ down: null, why: 'its version does not answer probes' })
    const seen: Channel[] = []
    const counts = counter()
    const c = await pool.add({ bootstrap: a.addresses(), telemetry: { ...counts, observe: () => undefined } })
    await joined(a, c)
    a.handle('/test/lane/1', 'connect', (channel) => void seen.push(channel))
    await createProber({ network: c, clock: systemClock(), telemetry: counter() }).probe(a.id)
    await c.openLane(a.id, '/test/lane/1')
    expect([counts.counts.get('lanes_opened'), counts.counts.get('lanes_missed')]).toEqual([1, undefined])
  })
})

describe('a peer that is probed', () => {
  let clock: VirtualClock
  let asker: Network
  let others: [Network, Network]
  let counts: Map<string, number>

  /** What comes back for frames that are sent over a channel of their own. */
  async function say(...frames: Parameters<Channel['send']>[0][]): Promise<{ types: number[]; ended: boolean }> {
    return sayAs(asker, ...frames)
  }

  async function sayAs(
    from: Network,
    ...frames: Parameters<Channel['send']>[0][]
  ): Promise<{ types: number[]; ended: boolean }> {
    const channel = await from.open('there', PROBE_PROTOCOL)
    const types: number[] = []
    channel.onFrame((got) => void types.push(got.type))
    let ended = false
    void channel.closed.then(() => (ended = true))
    for (const one of frames) await channel.send(one).catch(() => undefined)
    // each frame takes a turn of the event loop there, and one back
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
    return { types, ended }
  }

  function world(): void {
    clock = virtualClock()
    const hub = createMemoryHub({ clock })
    asker = hub.network('here')
    others = ['second', 'third'].map((id) => hub.network(id)) as [Network, Network]
    const served = counter()
    counts = served.counts
    serveProbes({ network: hub.network('there'), clock, telemetry: served })
    for (const id of ['here', 'second', 'third']) hub.connect(id, 'there')
  }

  const ask = (bytes: number): ReturnType<typeof frame> => frame({ type: PROBE.ask, position: bytes })

  it('answers one in ten seconds and refuses a flood', async () => {
    world()
    expect(await say(ask(PIECE_BYTES))).toMatchObject({ types: [PROBE.piece] })
    for (let time = 0; time < 20; time++)
      expect(await say(ask(PIECE_BYTES))).toEqual({ types: [PROBE.refused], ended: true })
    expect(counts).toEqual(
      new Map([
        ['probes served', 1],
        ['probes refused', 20],
      ]),
    )
    await clock.advance(PROBE_EVERY_MS)
    expect(await say(ask(PIECE_BYTES))).toMatchObject({ types: [PROBE.piece] })
  })

  it.each([
    ['asks for more than a way may carry', () => [ask(MAX_WAY_BYTES + 1)]],
    ['asks for it in parts', () => [ask(MAX_WAY_BYTES / 2), ask(MAX_WAY_BYTES / 2), ask(1)]],
    ['sends more than that', () => Array.from({ length: 65 }, () => piece(PIECE_BYTES))],
    ['sends nothing at all, in a piece', () => [frame({ type: PROBE.piece })]],
    ['sends more than a piece in one', () => [piece(PIECE_BYTES + 1)]],
    ['asks for nothing', () => [ask(0)]],
    ['sends bytes with a question', () => [{ ...piece(9), type: PROBE.ask, position: 1 }]],
    ['says something else', () => [frame({ type: 9 })]],
  ])('ends the channel of one that %s', async (_what, frames) => {
    world()
    const { types, ended } = await say(...frames())
    expect(ended).toBe(true)
    expect(types.length).toBeLessThanOrEqual(64)
  })

  it('answers two peers at a time, ends a probe that goes on for too long, and frees its place', async () => {
    world()
    const [second, third] = others
    for (const peer of [asker, second])
      expect(await sayAs(peer, ask(1))).toEqual({ types: [PROBE.piece], ended: false })
    expect(await sayAs(third, ask(1))).toEqual({ types: [PROBE.refused], ended: true })
    expect(clock.waiting()).toBe(2)
    await clock.advance(3_100)
    expect(clock.waiting()).toBe(0)
    expect(await sayAs(third, ask(1))).toMatchObject({ types: [PROBE.piece] })
  })
})
