/** A route that falls silent: its peers are asked at once whether they are there. */
import { describe, expect, it } from 'vitest'
import { Doubt } from '../../src/pipeline/origin/doubt.ts'
import { Watches } from '../../src/pipeline/origin/watches.ts'
import { handClock } from './support/hand-clock.ts'

interface Route {
  readonly clock: ReturnType<typeof handClock>
  /** Times at which it was doubted. */
  readonly doubts: number[]
  readonly end: () => void
  rows: number
  outstanding: number
}

function route(): Route {
  const clock = handClock()
  const doubts: number[] = []
  const waiting = { furthest: () => state.rows, outstanding: () => state.outstanding }
  const doubt = new Doubt(clock, waiting, () => void doubts.push(clock.now()))
  const state: Route = { clock, doubts, end: doubt.begin(), rows: 0, outstanding: 0 }
  return state
}

/** A row every `gap` milliseconds, for two seconds. */
function flowing(state: Route, gap: number): void {
  state.outstanding = 1
  for (let passed = 0; passed < 2_000; passed += gap) {
    state.clock.advance(gap)
    state.rows++
  }
}

describe('a route that falls silent', () => {
  it('is doubted once, as soon as nothing came for twice as long as lately', () => {
    const state = route()
    flowing(state, 30)
    const since = state.clock.now()
    state.clock.advance(10_000)
    expect(state.doubts).toHaveLength(1)
    expect(state.doubts[0]! - since).toBeLessThanOrEqual(450)
  })

  it('is doubted anew when something came in between', () => {
    const state = route()
    flowing(state, 30)
    state.clock.advance(5_000)
    flowing(state, 30)
    state.clock.advance(15_000)
    expect(state.doubts).toHaveLength(2)
  })

  it('has the time that its rows take', () => {
    const state = route()
    flowing(state, 500)
    expect(state.doubts).toEqual([])
    const since = state.clock.now()
    state.clock.advance(5_000)
    expect(state.doubts[0]! - since).toBeGreaterThan(700)
  })

  it('is left alone before anything has come, while nothing is waited for, and when it has ended', () => {
    const first = route()
    first.outstanding = 9
    first.clock.advance(60_000)
    expect(first.doubts).toEqual([])
    const read = route()
    flowing(read, 30)
    read.outstanding = 0
    read.clock.advance(60_000)
    expect(read.doubts).toEqual([])
    const ended = route()
    flowing(ended, 30)
    ended.end()
    ended.clock.advance(60_000)
    expect(ended.doubts).toEqual([])
  })
})

describe('the watches of a route that is doubted', () => {
  it('begin anew, which asks at once, and each ends once', () => {
    const open = new Map<string, number>()
    let [begun, counted] = [0, 0]
    const watches = new Watches({
      watch: (peer) => {
        begun++
        open.set(peer, (open.get(peer) ?? 0) + 1)
        return () => void open.set(peer, open.get(peer)! - 1)
      },
      count: (name) => (counted += Number(name === 'routes_doubted')),
    })
    watches.set(['b', 'c'])
    watches.doubt()
    expect([begun, counted, Object.fromEntries(open)]).toEqual([4, 1, { b: 1, c: 1 }])
    watches.set(['c', 'd'])
    expect(Object.fromEntries(open)).toEqual({ b: 0, c: 1, d: 1 })
    watches.set([])
    expect(Object.fromEntries(open)).toEqual({ b: 0, c: 0, d: 0 })
  })
})
