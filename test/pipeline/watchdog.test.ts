import { describe, expect, it } from 'vitest'
import { Watchdog } from '../../src/pipeline/host/watchdog.ts'
import { handClock } from './support/hand-clock.ts'

interface Watched {
  readonly clock: ReturnType<typeof handClock>
  readonly dog: Watchdog
  /** How long the host had said nothing, each time that it was reported. */
  readonly wedged: number[]
}

function watched(): Watched {
  const clock = handClock()
  const wedged: number[] = []
  return { clock, dog: new Watchdog(clock, (silent) => wedged.push(silent)), wedged }
}

describe('the watchdog of a stage host', () => {
  it('leaves a host alone that answers in its usual time, again and again', () => {
    const { clock, dog, wedged } = watched()
    for (let step = 0; step < 100; step++) {
      dog.given(1, 1)
      clock.advance(20)
      dog.answered(1, 1)
    }
    clock.advance(600_000)
    expect(wedged).toEqual([])
  })

  it('reports a host once that keeps rows far longer than it ever did', () => {
    const { clock, dog, wedged } = watched()
    dog.given(1, 1)
    clock.advance(20)
    dog.answered(1, 1)
    dog.given(1, 1)
    clock.advance(2_000)
    expect(wedged).toEqual([])
    clock.advance(2_000)
    expect(wedged).toHaveLength(1)
    clock.advance(60_000)
    expect(wedged).toHaveLength(1)
  })

  it('gives a long prompt the time that its rows need', () => {
    const { clock, dog, wedged } = watched()
    dog.given(1, 1)
    clock.advance(100)
    dog.answered(1, 1)
    dog.given(1, 512)
    clock.advance(51_200)
    expect(wedged).toEqual([])
    dog.answered(1, 512)
    clock.advance(600_000)
    expect(wedged).toEqual([])
  })

  it('does not wait for rows of a session that was closed', () => {
    const { clock, dog, wedged } = watched()
    dog.given(1, 4)
    dog.forget(1)
    clock.advance(600_000)
    expect(wedged).toEqual([])
  })

  it('finds a host whose every session gives up before it would be found', () => {
    const { clock, dog, wedged } = watched()
    dog.given(1, 1)
    clock.advance(20)
    dog.answered(1, 1)
    for (let session = 2; session < 7; session++) {
      dog.given(session, 1)
      clock.advance(500)
      dog.forget(session)
      // Between them nobody waits, and that is no silence.
      clock.advance(60_000)
    }
    expect(wedged).toHaveLength(1)
    expect(wedged[0]).toBeLessThan(3_000)
  })

  it('still waits for one session when another is closed', () => {
    const { clock, dog, wedged } = watched()
    dog.given(1, 1)
    clock.advance(20)
    dog.answered(1, 1)
    dog.given(1, 1)
    dog.given(2, 1)
    dog.forget(2)
    clock.advance(5_000)
    expect(wedged).toHaveLength(1)
  })

  it('does not take the time that a row waits behind others for the time that it needs', () => {
    const { clock, dog, wedged } = watched()
    dog.given(1, 100)
    dog.given(2, 1)
    clock.advance(1_000)
    dog.answered(1, 100)
    clock.advance(10)
    dog.answered(2, 1)
    dog.given(1, 1)
    clock.advance(3_000)
    expect(wedged).toHaveLength(1)
  })

  it('finds a host that does not open a session, though nothing is computed, and one that does is left alone', () => {
    const { clock, dog, wedged } = watched()
    dog.given(1, 0)
    clock.advance(10)
    dog.opened(1)
    clock.advance(600_000)
    expect(wedged).toEqual([])
    dog.given(2, 0)
    clock.advance(2_500)
    expect(wedged).toHaveLength(1)
  })

  it('gives a graph that is loaded in the middle its time, and finds a host that stops in it', () => {
    const { clock, dog, wedged } = watched()
    dog.given(1, 1)
    clock.advance(20)
    dog.answered(1, 1)
    dog.given(1, 1)
    dog.loading(true)
    clock.advance(30_000)
    expect(wedged).toEqual([])
    dog.loading(false)
    clock.advance(20)
    dog.answered(1, 1)
    dog.given(1, 1)
    clock.advance(2_500)
    expect(wedged).toHaveLength(1)
    const other = new Watchdog(clock, (silent) => wedged.push(silent))
    other.given(1, 1)
    other.loading(true)
    clock.advance(61_000)
    expect(wedged).toHaveLength(2)
  })
})
