/** A route on which nothing moves: asked first, and then whoever passes nothing on is named. */
import { describe, expect, it } from 'vitest'
import { Stalls } from '../../src/pipeline/origin/stalls.ts'
import { handClock } from './support/hand-clock.ts'

interface Watched {
  readonly clock: ReturnType<typeof handClock>
  readonly stalls: Stalls
  readonly told: (number | undefined)[]
  rows: number
  outstanding: number
}

function watched(deadlineMs?: number): Watched {
  const clock = handClock()
  const told: (number | undefined)[] = []
  const rest = deadlineMs === undefined ? {} : { deadlineMs }
  const waiting = { furthest: () => state.rows, outstanding: () => state.outstanding, ...rest }
  const stalls = new Stalls(
    clock,
    waiting,
    (hop) => void told.push(hop),
    () => undefined,
  )
  const state: Watched = { clock, told, stalls, rows: 0, outstanding: 0 }
  stalls.begin()
  return state
}

/** Rows come, ten in a second. */
function flowing(state: Watched): void {
  state.outstanding = 1
  for (let second = 0; second < 5; second++) {
    state.rows += 10
    state.clock.advance(1_000)
  }
}

describe('a route on which nothing moves', () => {
  it('is left alone while rows come, and while nothing is waited for', () => {
    const state = watched()
    flowing(state)
    state.outstanding = 0
    state.clock.advance(3_600_000)
    state.outstanding = 1
    flowing(state)
    expect(state.told).toEqual([])
  })

  it.each([
    ['the hop is named whose rows the next one has not', [51, 51, 50], 1],
    ['the last one, where all have the same', [51, 51, 51], 2],
  ])('is asked how far it is within seconds, and then %s', (_, had, hop) => {
    const state = watched()
    flowing(state)
    state.clock.advance(5_000)
    expect(state.told).toEqual([undefined])
    state.stalls.asked(had)
    state.clock.advance(4_500)
    expect(state.told).toEqual([undefined])
    state.clock.advance(3_500)
    expect(state.told).toEqual([undefined, hop])
  })

  it('forgets what it was told when something comes', () => {
    const state = watched()
    flowing(state)
    state.clock.advance(5_000)
    state.stalls.asked([51, 51, 50])
    flowing(state)
    state.clock.advance(5_000)
    expect(state.told).toEqual([undefined, undefined])
  })

  it('does not take what hops had when the session was opened for an answer', () => {
    const state = watched()
    state.outstanding = 8
    state.stalls.asked([4, 4, 0])
    state.clock.advance(30_000)
    expect(state.told).toEqual([undefined])
  })

  it('gives a long prompt the time that its rows need', () => {
    const state = watched()
    flowing(state)
    state.outstanding = 400
    state.clock.advance(60_000)
    expect(state.told).toEqual([])
  })

  it('is asked within a third of the time that its answer has, and a hop is replaced while there is some left', () => {
    const state = watched(60_000)
    state.outstanding = 200
    state.clock.advance(19_500)
    expect(state.told).toEqual([])
    state.clock.advance(1_000)
    expect(state.told).toEqual([undefined])
    state.stalls.asked([200, 0])
    state.clock.advance(20_500)
    expect(state.told).toEqual([undefined, 0])
    // The control: without an end the rows of a long prompt have their time.
    const endless = watched()
    endless.outstanding = 200
    endless.clock.advance(120_000)
    expect(endless.told).toEqual([])
  })

  it('is judged by the rows of lately: one that waited for a replacement is forgotten', () => {
    const state = watched()
    flowing(state)
    state.clock.advance(2_000)
    state.rows += 1
    state.clock.advance(1_000)
    // Such a row may come again.
    state.clock.advance(15_000)
    expect(state.told).toEqual([])
    for (let time = 0; time < 4; time++) flowing(state)
    state.clock.advance(6_000)
    expect(state.told).toEqual([undefined])
  })
})
