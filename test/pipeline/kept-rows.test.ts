import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { array, assert, asyncProperty, boolean, integer, nat, property, tuple } from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RUN } from '../../src/pipeline/host/protocol.ts'
import { flagged, rowsFrom } from '../../src/pipeline/ring/hop.ts'
import { KeptRows } from '../../src/pipeline/ring/kept-rows.ts'

const ROW_BYTES = 64 << 10

let directory: string
let names = 0

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-kept-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** Rows whose bytes say which they are. */
function rows(position: number, count: number, rowBytes = ROW_BYTES): Uint8Array {
  const payload = new Uint8Array(count * rowBytes)
  for (let row = 0; row < count; row++) payload.fill((position + row) % 251, row * rowBytes, (row + 1) * rowBytes)
  return payload
}

async function all(kept: KeptRows, from: number, most: number): Promise<{ position: number; ids: number[] }[]> {
  const chunks: { position: number; ids: number[] }[] = []
  for await (const { position, count, payload } of kept.from(from, most)) {
    const rowBytes = payload.length / count
    const ids = Array.from({ length: count }, (_, row) => payload[row * rowBytes]!)
    expect(Buffer.compare(payload, rows(position, count, rowBytes))).toBe(0)
    chunks.push({ position, ids })
  }
  return chunks
}

describe('kept rows', () => {
  it('come back from any row, in order, whatever the pieces they came in', async () => {
    const kept = new KeptRows({ directory, name: 'memory' })
    for (const [position, count] of [
      [0, 5],
      [5, 1],
      [6, 1],
      [7, 9],
    ] as const)
      kept.add({ position, count, payload: rows(position, count, 8) })
    // Twice the same, and a gap: neither belongs behind what is there.
    kept.add({ position: 7, count: 9, payload: rows(7, 9, 8) })
    kept.add({ position: 20, count: 1, payload: rows(20, 1, 8) })
    expect(kept.end).toBe(16)
    expect((await all(kept, 3, 4)).flatMap(({ ids }) => ids)).toEqual(Array.from({ length: 13 }, (_, row) => row + 3))
    expect(await all(kept, 16, 4)).toEqual([])
    kept.close()
  })

  it('beyond their memory lie in a file that has no name, and come back from there, also while more come', async () => {
    let spilled = 0
    const kept = new KeptRows({
      directory,
      name: 'spilled',
      memory: 16 * ROW_BYTES,
      spilled: (count) => {
        spilled += count
      },
    })
    for (let row = 0; row < 200; row++) kept.add({ position: row, count: 1, payload: rows(row, 1) })
    const seen: number[] = []
    for await (const chunk of kept.from(0, 64)) {
      seen.push(...Array.from({ length: chunk.count }, (_, row) => chunk.payload[row * ROW_BYTES]!))
      if (kept.end < 260) kept.add({ position: kept.end, count: 20, payload: rows(kept.end, 20) })
    }
    expect(seen).toEqual(Array.from({ length: 260 }, (_, row) => row % 251))
    expect(spilled).toBeGreaterThanOrEqual(100)
    expect(await readdir(directory)).toEqual([])
    kept.close()
  })

  it('are let go where the disk takes none, and whoever needs them is told so', async () => {
    const kept = new KeptRows({ directory: join(directory, 'missing'), name: 'full', memory: 4 * ROW_BYTES })
    for (let row = 0; row < 100; row++) kept.add({ position: row, count: 1, payload: rows(row, 1) })
    await expect(all(kept, 0, 8)).rejects.toMatchObject({ code: 'WEFT-INF-034' })
    const { start } = kept
    expect(start).toBeGreaterThan(0)
    expect((await all(kept, start, 8)).flatMap(({ ids }) => ids).length).toBe(100 - start)
    kept.close()
  })
})

describe('pieces of rows', () => {
  it('end with each row that a token is to follow, and lose none', () => {
    assert(
      property(nat(50), integer({ min: 1, max: 40 }), nat(120), (position, count, tokensFrom) => {
        const pieces = flagged({ position, count, payload: rows(position, count, 2) }, tokensFrom)
        expect(Buffer.concat(pieces.map(({ payload }) => payload))).toEqual(Buffer.from(rows(position, count, 2)))
        for (const piece of pieces) {
          const last = piece.position + piece.count - 1
          expect(piece.flags).toBe(last >= tokensFrom ? RUN.token : 0)
          expect(piece.count === 1 || last <= tokensFrom).toBe(true)
        }
      }),
    )
  })

  it('from a row on are what is behind it', () => {
    const chunk = { position: 10, count: 4, payload: rows(10, 4, 2) }
    expect(rowsFrom(chunk, 3)).toEqual(chunk)
    expect(rowsFrom(chunk, 12)).toEqual({ position: 12, count: 2, payload: rows(12, 2, 2) })
    expect(rowsFrom(chunk, 14)).toBeUndefined()
  })
})

describe('rows that never were', () => {
  it('give way to those that come in their place, in memory and in the file, also while it is written', async () => {
    await assert(
      asyncProperty(
        array(tuple(integer({ min: 1, max: 9 }), integer({ min: 0, max: 6 }), boolean()), { maxLength: 40 }),
        async (steps) => {
          const kept = new KeptRows({ directory, name: `cut-${names++}`, memory: 20 * 1024 })
          const expected: number[] = []
          for (const [index, [count, back, waits]] of steps.entries()) {
            const position = Math.max(0, expected.length - back)
            kept.truncate(position)
            expected.length = position
            for (let row = 0; row < count; row++) expected.push(index)
            kept.add({ position, count, payload: new Uint8Array(count * 1024).fill(index) })
            if (waits) await setImmediate()
          }
          const got: number[] = []
          for await (const chunk of kept.from(0, 7))
            for (let row = 0; row < chunk.count; row++) got.push(chunk.payload[row * 1024]!)
          expect(got).toEqual(expected)
          kept.close()
        },
      ),
      { numRuns: 60 },
    )
  })

  it.each([
    ['before', 0],
    ['after', 40],
  ])('stay within their bound for as long as the disk has no room, which shows %s they came', async (_, atOnce) => {
    const kept = new KeptRows({ directory: join(directory, 'nowhere'), memory: 4 * ROW_BYTES, name: 'full' })
    for (let row = 0; row < 40; row++) {
      kept.add({ position: row, count: 1, payload: rows(row, 1) })
      if (row >= atOnce) await setImmediate()
    }
    await expect.poll(() => kept.start).toBeGreaterThanOrEqual(36)
    expect(await all(kept, kept.start, 8)).toEqual([{ position: 36, ids: [36, 37, 38, 39] }])
    await expect(all(kept, 0, 8)).rejects.toMatchObject({ code: 'WEFT-INF-034' })
    kept.close()
  })
})
