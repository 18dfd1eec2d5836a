import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createEvents } from '../../src/telemetry/index.ts'

const event = (number: number): { event: string; at: string; data: { number: number } } => ({
  event: 'peer.joined',
  at: '2026-01-01T00:00:00.000Z',
  data: { number },
})

describe('event bus', () => {
  test('a listener gets each event once, until it leaves', () => {
    const bus = createEvents({ boot: 'b1' })
    const seen: number[] = []
    const leave = bus.subscribe((one) => seen.push(one.data['number'] as number))
    bus.publish(event(1))
    bus.publish(event(2))
    leave()
    bus.publish(event(3))
    expect(seen).toEqual([1, 2])
  })

  test('replay gives exactly what came after an id, or says that it is not complete', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 12 }), fc.nat(50), (total, capacity, from) => {
        const bus = createEvents({ boot: 'b', capacity })
        for (let index = 1; index <= total; index += 1) bus.publish(event(index))
        const replay = bus.since(`b-${from}`)
        const numbers = replay.events.map((one) => one.data['number'])
        const kept = Array.from({ length: Math.min(total, capacity) }, (_, index) => total - index).reverse()
        const known = from <= total
        expect(numbers).toEqual(known ? kept.filter((number) => number > from) : kept)
        expect(replay.complete).toBe(known && from >= total - kept.length)
      }),
    )
  })

  test('an id of another run, or nonsense, gets all that is known', () => {
    const bus = createEvents({ boot: 'two' })
    bus.publish(event(1))
    for (const id of ['one-1', '', 'two-', 'two-x', 'two-1-1', 'two-99999999999999999999', '\n'])
      expect(bus.since(id), id).toMatchObject({ complete: false, events: [{ id: 'two-1' }] })
    expect(bus.since(undefined)).toEqual({ events: [], complete: true })
  })

  test('a name cannot begin another line, and a listener that throws harms nobody', () => {
    const bus = createEvents({ boot: 'b' })
    const seen: string[] = []
    bus.subscribe(() => {
      throw new Error('bad listener')
    })
    bus.subscribe((one) => seen.push(one.event))
    bus.publish({ ...event(1), event: 'a\ndata: x' })
    bus.publish(event(2))
    expect(seen).toEqual(['a_data__x', 'peer.joined'])
  })
})
