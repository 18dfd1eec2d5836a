/** A training host that says nothing any more is found, and one that computes is left alone, however busy the machine. */
import { describe, expect, it } from 'vitest'
import { SIGN_MS, SignsOfLife } from '../../../src/pipeline/adapters/host/signs-of-life.ts'
import { handClock } from '../support/hand-clock.ts'

interface Watched {
  readonly clock: ReturnType<typeof handClock>
  readonly signs: SignsOfLife
  /** Milliseconds of silence, each time that it was told. */
  readonly frozen: number[]
  /** The host computes, and says so as often. */
  readonly computes: (milliseconds: number, every?: number) => void
}

function watched(): Watched {
  const clock = handClock()
  const frozen: number[] = []
  const signs = new SignsOfLife(clock, (silent) => frozen.push(silent))
  const computes = (milliseconds: number, every = SIGN_MS): void => {
    for (let at = every; at <= milliseconds; at += every) {
      clock.advance(every)
      signs.heard()
    }
  }
  return { clock, signs, frozen, computes }
}

/** As it is after its first rows. */
function warm(): Watched {
  const all = watched()
  all.signs.asked('forward')
  all.computes(1_000)
  all.signs.answered('forward')
  return all
}

describe('a training host', () => {
  it('that computes for an hour and says so is left alone', () => {
    const { signs, frozen, computes } = warm()
    signs.asked('forward')
    computes(3_600_000)
    expect(frozen).toEqual([])
  })

  it('that says nothing any more is found within ten seconds, and told once', () => {
    const { clock, signs, frozen, computes } = warm()
    signs.asked('forward')
    computes(5_000)
    clock.advance(7_000)
    expect(frozen).toEqual([])
    clock.advance(3_000)
    expect(frozen).toHaveLength(1)
    clock.advance(600_000)
    expect(frozen).toHaveLength(1)
  })

  it('whose layers take seconds each is given many times as long', () => {
    const { clock, signs, frozen, computes } = warm()
    signs.asked('forward')
    computes(30_000, 6_000)
    clock.advance(50_000)
    expect(frozen).toEqual([])
    clock.advance(4_000)
    expect(frozen).toHaveLength(1)
  })

  it('has two minutes to read its weights, and for what it is asked the first time', () => {
    const { clock, signs, frozen } = warm()
    signs.asked(false)
    clock.advance(119_000)
    signs.answered(false)
    signs.asked('forward')
    clock.advance(9_000)
    expect(frozen).toHaveLength(1)
    const other = warm()
    other.signs.asked('loss')
    other.clock.advance(119_000)
    expect(other.frozen).toEqual([])
    other.signs.answered('loss')
  })

  it('is given as much again for a session that is new, and no more for one that it knows', () => {
    const { clock, signs, frozen } = warm()
    signs.forget((what) => what === 'forward')
    signs.asked('forward')
    clock.advance(60_000)
    expect(frozen).toEqual([])
    clock.advance(61_000)
    expect(frozen).toHaveLength(1)
  })

  it('that has nothing to do may be silent, and its silence counts from the question on', () => {
    const { clock, signs, frozen } = warm()
    clock.advance(3_600_000)
    signs.asked('forward')
    clock.advance(7_000)
    expect(frozen).toEqual([])
    clock.advance(3_000)
    expect(frozen).toHaveLength(1)
  })

  it('is not blamed for the time in which the machine slept', () => {
    const { clock, signs, frozen, computes } = warm()
    // Timers that are due come late, all at once, and what the host says comes behind them.
    const late = { ...clock, now: () => clock.now() + slept }
    let slept = 0
    const asleep = new SignsOfLife(late, (silent) => frozen.push(silent))
    signs.stop()
    asleep.asked('forward')
    clock.advance(100)
    asleep.answered('forward')
    asleep.asked('forward')
    slept = 3_600_000
    computes(1_000)
    asleep.heard()
    clock.advance(5_000)
    expect(frozen).toEqual([])
    clock.advance(600_000)
    expect(frozen).toHaveLength(1)
  })
})
