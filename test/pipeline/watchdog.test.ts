import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it, onTestFinished } from 'vitest'
import { isStopped } from '../../src/pipeline/host/stopped.ts'
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

describe('a host that is stopped', () => {
  const stoppable = (): Watched & { isStopped: boolean } => {
    const clock = handClock()
    const wedged: number[] = []
    const dog = new Watchdog(
      clock,
      (silent) => wedged.push(silent),
      undefined,
      () => state.isStopped,
    )
    const state = { clock, wedged, dog, isStopped: false }
    return state
  }

  it('is reported within a second, though a row may take much longer there', () => {
    const state = stoppable()
    state.dog.given(1, 1)
    state.clock.advance(400)
    state.dog.answered(1, 1)
    state.isStopped = true
    state.dog.given(1, 100)
    state.clock.advance(750)
    expect(state.wedged).toHaveLength(1)
  })

  it('is left alone while nothing is asked of it, and when it was stopped for a moment', () => {
    const state = stoppable()
    state.isStopped = true
    state.clock.advance(60_000)
    state.isStopped = false
    state.dog.given(1, 1)
    for (let look = 0; look < 8; look++) {
      state.isStopped = look % 2 === 0
      state.clock.advance(250)
    }
    expect(state.wedged).toEqual([])
  })

  it('is told by the system, as is that it goes on, and nothing of who is not there', async () => {
    const child = spawn('sleep', ['60'])
    onTestFinished(() => void child.kill('SIGKILL'))
    await once(child, 'spawn')
    expect(isStopped(child.pid!)).toBe(false)
    child.kill('SIGSTOP')
    await expect.poll(() => isStopped(child.pid!)).toBe(process.platform === 'linux')
    child.kill('SIGCONT')
    await expect.poll(() => isStopped(child.pid!)).toBe(false)
    expect(isStopped(0)).toBe(false)
  })
})

it('a peer that stood still itself does not hold that against its host', () => {
  const { clock, wedged } = watched()
  const late: (() => void)[] = []
  const dog = new Watchdog({ ...clock, after: (_, action) => (late.push(action), () => undefined) }, (silent) =>
    wedged.push(silent),
  )
  dog.given(1, 1)
  // As when all of them were stopped for a minute: the timer comes late, and the answer is in the queue behind it.
  clock.advance(60_000)
  late.pop()?.()
  expect(wedged).toEqual([])
  clock.advance(600)
  late.pop()?.()
  expect(wedged).toEqual([])
  // The control: a host that says nothing while its peer looks is found.
  for (let look = 0; look < 60; look++) {
    clock.advance(250)
    late.pop()?.()
  }
  expect(wedged).toHaveLength(1)
})
