/** Who waits for room, in which order, and who is sent away with which time. */
import { describe, expect, it } from 'vitest'
import { MAX_WAIT_MS, MAX_WAITING } from '../../src/peer/room-line.ts'
import { RoomQueue } from '../../src/peer/room-queue.ts'
import type { Rank } from '../../src/peer/room-queue.ts'
import { KvFullError } from '../../src/pipeline/host/errors.ts'
import { isWantOfRoom } from '../../src/pipeline/index.ts'
import { SessionRefusedError } from '../../src/pipeline/ring/errors.ts'
import { manualClock } from '../api/support.ts'

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const NO_ROOM = { code: 'WEFT-INF-044' }

/** A stage with room for so many sessions. */
function lab(places: number) {
  const clock = manualClock()
  const counts: Record<string, number> = {}
  const telemetry = { count: (name: string) => void (counts[name] = (counts[name] ?? 0) + 1) }
  const queue = new RoomQueue({ clock, telemetry, isFull: isWantOfRoom })
  let free = places
  const order: string[] = []
  const ends = new Map<string, () => void>()
  const ask = (
    name: string,
    more: { rank?: Rank; signal?: AbortSignal; room?: () => Error | undefined } = {},
  ): Promise<string> => {
    const { rank = 'normal', signal = new AbortController().signal } = more
    const told = queue.open('route', { model: 'tiny', rank, signal }, async (ended) => {
      await settle()
      const refusal = more.room?.()
      if (refusal !== undefined) throw refusal
      if (free === 0) throw new KvFullError(2, 1)
      free--
      order.push(name)
      ends.set(name, () => {
        free++
        ended()
      })
      return name
    })
    // Awaited later, if at all.
    told.catch(() => undefined)
    return told
  }
  const end = async (name: string): Promise<void> => {
    ends.get(name)!()
    ends.delete(name)
    for (let turn = 0; turn < 6; turn++) await settle()
  }
  return { ask, clock, counts, end, order, taken: (by: number) => (free -= by) }
}

describe('the queue for room', () => {
  it('begins those that wait as others end, each in its turn, twice', async () => {
    const { ask, clock, counts, end, order } = lab(2)
    for (const round of ['x', 'y']) {
      const all = [1, 2, 3, 4, 5].map((n) => ask(`${round}${n}`))
      await Promise.all(all.slice(0, 2))
      await settle()
      expect(order.splice(0)).toEqual([`${round}1`, `${round}2`])
      await end(`${round}2`)
      // Who comes now does not overtake those that wait.
      all.push(ask(`${round}6`))
      await end(`${round}1`)
      expect(order).toEqual([`${round}3`, `${round}4`])
      for (const [place, n] of [3, 4, 5, 6].entries()) {
        await end(`${round}${n}`)
        expect(order.length).toBe(Math.min(4, 3 + place))
      }
      expect(order.splice(0)).toEqual([3, 4, 5, 6].map((n) => `${round}${n}`))
      expect(await Promise.all(all)).toHaveLength(6)
    }
    expect(counts).toEqual({ requests_queued: 8 })
    expect(clock.pending()).toBe(0)
  })

  it('those of a higher priority first, the batch lane last', async () => {
    const { ask, end, order } = lab(1)
    await ask('first')
    for (const rank of ['batch', 'low', 'normal', 'high', 'normal'] as const) {
      void ask(`${rank}${order.length}`, { rank })
      await settle()
      await settle()
    }
    void ask('high2', { rank: 'high' })
    await settle()
    for (let n = 0; n < 6; n++) await end(order.at(-1)!)
    expect(order).toEqual(['first', 'high1', 'high2', 'normal1', 'normal1', 'low1', 'batch1'])
  })

  it('who waits too long is sent away with a time that follows from how long answers take', async () => {
    const { ask, clock, counts, end } = lab(1)
    await ask('a')
    clock.advance(8_000)
    await end('a')
    await ask('b')
    const waiting = ask('c')
    await settle()
    await settle()
    clock.advance(MAX_WAIT_MS)
    await expect(waiting).rejects.toMatchObject({
      ...NO_ROOM,
      details: { model: 'tiny', running: 1, waiting: 1, retry_after_s: 16 },
      cause: { code: 'WEFT-INF-010' },
    })
    expect(counts).toEqual({ requests_queued: 1, requests_refused: 1 })
    expect(clock.pending()).toBe(0)
  })

  it('who would wait too long is sent away at once, each for a later time', async () => {
    const { ask, clock, end } = lab(1)
    await ask('a')
    clock.advance(12_000)
    await end('a')
    await ask('b')
    const [second, third] = [ask('c'), ask('d')]
    for (let turn = 0; turn < 6; turn++) await settle()
    // Two wait, 12 s each; the next would wait for 36.
    await expect(ask('e')).rejects.toMatchObject({ ...NO_ROOM, details: { waiting: 2, retry_after_s: 36 } })
    await expect(ask('f')).rejects.toMatchObject({ ...NO_ROOM, details: { waiting: 2, retry_after_s: 48 } })
    await expect(ask('g')).rejects.toMatchObject({ ...NO_ROOM, details: { waiting: 2, retry_after_s: 60 } })
    await end('b')
    await second
    await end('c')
    await third
  })

  it('is bounded; who comes first anyway takes the place of who comes last', async () => {
    const { ask, end, order } = lab(1)
    await ask('a')
    const all = Array.from({ length: MAX_WAITING }, (_, n) => ask(`w${n}`, { rank: n === 7 ? 'low' : 'normal' }))
    for (let turn = 0; turn < 6; turn++) await settle()
    await expect(ask('late', { rank: 'low' })).rejects.toMatchObject(NO_ROOM)
    void ask('urgent', { rank: 'high' })
    await expect(all[7]).rejects.toMatchObject(NO_ROOM)
    await end('a')
    expect(order).toEqual(['a', 'urgent'])
  })

  it('room that others gave back is found, and nobody waits where nothing here ends', async () => {
    const { ask, clock, order, taken } = lab(2)
    taken(1)
    await ask('a')
    void ask('b')
    for (let turn = 0; turn < 6; turn++) await settle()
    taken(-1)
    clock.advance(1_000)
    for (let turn = 0; turn < 6; turn++) await settle()
    expect(order).toEqual(['a', 'b'])
    // Those that ran have ended, and a stage has not heard of it yet.
    const late = lab(1)
    await late.ask('a')
    void late.ask('b')
    for (let turn = 0; turn < 6; turn++) await settle()
    late.taken(1)
    await late.end('a')
    expect(late.order).toEqual(['a'])
    late.taken(-1)
    late.clock.advance(1_000)
    for (let turn = 0; turn < 6; turn++) await settle()
    expect(late.order).toEqual(['a', 'b'])
    const other = lab(0)
    await expect(other.ask('a')).rejects.toMatchObject({ code: 'WEFT-INF-010' })
    expect(other.counts).toEqual({})
  })

  it('whoever goes away while it waits makes way, and an error that is none of room is told', async () => {
    const { ask, clock, end, order } = lab(1)
    await ask('a')
    const gone = new AbortController()
    let isBroken = false
    const [first, second, third] = [
      ask('b', { signal: gone.signal }),
      ask('c', { room: () => (isBroken ? new Error('broken') : undefined) }),
      ask('d'),
    ]
    for (let turn = 0; turn < 6; turn++) await settle()
    gone.abort(new Error('gone'))
    await expect(first).rejects.toThrow('gone')
    isBroken = true
    await end('a')
    await expect(second).rejects.toThrow('broken')
    await third
    expect(order).toEqual(['a', 'd'])
    await end('d')
    expect(clock.pending()).toBe(0)
  })

  it('of refused sessions only those wait that were too many', () => {
    expect(isWantOfRoom(new SessionRefusedError('64 sessions', { sessions: 64 }))).toBe(true)
    expect(isWantOfRoom(new SessionRefusedError('the route does not name this peer at this place', {}))).toBe(false)
    expect(isWantOfRoom(new Error('no room'))).toBe(false)
  })
})
