/** When a session that finds no way on is given up, and when it is not. */
import { describe, expect, it } from 'vitest'
import { Pacing } from '../../src/pipeline/origin/pacing.ts'
import { KvFullError } from '../../src/pipeline/host/errors.ts'
import { StageHostError } from '../../src/pipeline/host/host-errors.ts'
import { PeerLostError } from '../../src/pipeline/ring/errors.ts'
import type { Clock } from '../../src/util/index.ts'

/** Sleep passes at once. */
function sleepless(): Clock & { at: number } {
  const clock = {
    at: 0,
    now: () => clock.at,
    wall: () => clock.at,
    after: () => () => undefined,
    sleep: (milliseconds: number) => Promise.resolve(void (clock.at += milliseconds)),
  }
  return clock
}

const LOST = new PeerLostError('somebody', 'it went away')
const FAILED = new StageHostError('no such row', {})
const FULL = new KvFullError(2, 1)

/** Attempts that are made before it is given up; at most `most`. */
async function attempts(
  errors: (attempt: number) => Error,
  rows: (attempt: number) => number,
  most = 200,
): Promise<number> {
  const clock = sleepless()
  const pacing = new Pacing(clock, new AbortController().signal, (since) => since + 600_000)
  for (let attempt = 1; attempt <= most; attempt++) {
    pacing.fruit(rows(attempt))
    try {
      await pacing.wait(attempt, pacing.until, errors(attempt))
    } catch {
      return attempt - 1
    }
    clock.at += 100
  }
  return most
}

describe('a session that is tried again', () => {
  it('is given up soon when it fails for the same reason of its own each time', async () => {
    expect(
      await attempts(
        () => FAILED,
        () => 0,
      ),
    ).toBe(6)
  })

  it('is given up, too, when whoever computes it is lost each time, since the request may be what kills them', async () => {
    expect(
      await attempts(
        () => LOST,
        () => 0,
      ),
    ).toBe(16)
  })

  it('is given up though rows that had come before come again each time', async () => {
    expect(
      await attempts(
        () => LOST,
        (attempt) => attempt % 7,
      ),
    ).toBeLessThan(30)
  })

  it('goes on for as long as something new comes', async () => {
    expect(
      await attempts(
        () => LOST,
        (attempt) => attempt,
      ),
    ).toBe(200)
  })

  it('gives the hops of its first route a third of its time, and later ones ten seconds, since others may be ready', async () => {
    const of = (deadline?: number): Pacing =>
      new Pacing(sleepless(), new AbortController().signal, (since) => since + 600_000, deadline)
    expect([of(60_000), of(3_000), of()].map(({ openMs }) => openMs)).toEqual([20_000, 10_000, 300_000])
    const pacing = of()
    const opens = [pacing.openMs]
    for (const attempt of [1, 2, 3, 4]) {
      await pacing.wait(attempt, pacing.until, LOST)
      opens.push(pacing.openMs)
    }
    expect(opens).toEqual([300_000, 10_000, 30_000, 90_000, 270_000])
  })

  it('asks five others within a minute though each takes all the time that it gets', async () => {
    const clock = sleepless()
    const pacing = new Pacing(clock, new AbortController().signal, () => 60_000, 60_000)
    const opens: number[] = []
    for (let attempt = 1; clock.at < 60_000; attempt++) {
      await pacing.wait(attempt, pacing.until, LOST)
      opens.push(pacing.openMs)
      clock.at += pacing.openMs
    }
    expect(opens.length).toBeGreaterThanOrEqual(5)
    expect(Math.min(...opens)).toBe(10_000)
  })

  it('waits for room as long as somebody may be waited for, counted from the first attempt that came to nothing', async () => {
    const made = await attempts(
      () => FULL,
      () => 0,
      1_000,
    )
    expect(made).toBeGreaterThan(200)
    expect(made).toBeLessThan(400)
  })
})
