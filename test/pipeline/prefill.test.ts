/** How a prompt is cut for its way through the stages, and how much of it is under way at once. */
import { describe, expect, it } from 'vitest'
import { chunkRows } from '../../src/placement/index.ts'
import { prefill } from '../../src/pipeline/origin/prefill.ts'
import type { PrefillInit } from '../../src/pipeline/origin/prefill.ts'
import type { Arrival, OriginSession } from '../../src/pipeline/origin/session.ts'

interface Sent {
  readonly sizes: readonly number[]
  /** Rows under way, at most. */
  readonly most: number
}

/** Stages that take one chunk after another, and have some rows of it already. */
async function sent(rows: number, hops: number, init: PrefillInit, found = 0): Promise<Sent> {
  const sizes: number[] = []
  const ends: number[] = []
  let [given, taken, most] = [found, found, 0]
  const session: Pick<OriginSession, 'hops' | 'reused' | 'send' | 'take'> = {
    hops: Array.from({ length: hops }, (_, hop) => ({ peer: `p${hop}`, pid: 1, from: hop, to: hop + 1 })),
    reused: { sent: found, taken: found, found },
    send: (ids, position) => {
      expect(position).toBe(given)
      sizes.push(ids.length)
      given += ids.length
      ends.push(given)
      most = Math.max(most, given - taken)
      return Promise.resolve()
    },
    take: () => {
      taken = ends.shift()!
      const arrival: Arrival = taken === rows ? { token: { id: 1, computeMs: 1 } } : { takenTo: taken }
      return Promise.resolve(arrival)
    },
  }
  const ids = Array.from({ length: rows }, (_, id) => id)
  let last: Arrival | undefined
  for await (const arrival of prefill(session as OriginSession, ids, init)) last = arrival
  expect(last).toHaveProperty('token')
  expect(given).toBe(rows)
  return { sizes, most }
}

const times = (count: number, rows: number): number[] => Array.from({ length: count }, () => rows)

describe('the rows of a prompt', () => {
  it('go in smaller chunks through several stages the shorter they are, as large as kernels like them through one', async () => {
    expect((await sent(512, 3, { most: 128 })).sizes).toEqual(times(8, 64))
    expect((await sent(512, 1, { most: 128 })).sizes).toEqual(times(4, 128))
    expect((await sent(4_096, 2, { most: 128 })).sizes).toEqual(times(32, 128))
  })

  it('take a few that are left over with the last ones', async () => {
    expect((await sent(100, 2, { most: 128 })).sizes).toEqual([32, 32, 36])
    expect((await sent(33, 2, { most: 128 })).sizes).toEqual([33])
    expect((await sent(48, 2, { most: 128 })).sizes).toEqual([32, 16])
    expect((await sent(130, 1, { most: 128 })).sizes).toEqual([128, 2])
  })

  it('are cut by what nobody has of them yet', async () => {
    expect((await sent(512, 2, { most: 128 }, 384)).sizes).toEqual(times(4, 32))
  })

  it('keep the size that they have to have, and of a batch theirs', async () => {
    expect((await sent(512, 3, { most: 128, isFixed: true })).sizes).toEqual(times(4, 128))
    expect((await sent(128, 3, { most: 32 })).sizes).toEqual(times(4, 32))
  })

  it('are as many under way as with full chunks, one more than there are stages', async () => {
    expect((await sent(2_048, 2, { most: 128 })).most).toBe(3 * 128)
    expect((await sent(512, 2, { most: 128 })).most).toBe(3 * 128)
    expect((await sent(512, 1, { most: 128 })).most).toBe(2 * 128)
  })

  it('are a whole number of what prefixes are kept in, never fewer than 32 a chunk nor more than asked', () => {
    for (let prompt = 1; prompt < 3_000; prompt += 7) {
      const rows = chunkRows(prompt)
      expect(rows % 16).toBe(0)
      expect(rows).toBeGreaterThanOrEqual(32)
      expect(rows).toBeLessThanOrEqual(128)
      expect(chunkRows(prompt, 32)).toBe(32)
    }
  })
})
