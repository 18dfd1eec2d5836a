/** The rows of a KV cache stay what they are while its buffers grow, and they grow rarely. */
import { describe, expect, it } from 'vitest'
import { KvCache } from '../../src/pipeline/host/kv-cache.ts'

const SHAPE = { layers: 2, heads: 3, headDim: 4 }
const rowValues = SHAPE.heads * SHAPE.headDim

/** Rows as a graph gives them, [heads, given, head dim], each with the number of its position; what is beyond is -1. */
function rowsFrom(position: number, rows: number, given: number): Float32Array {
  const out = new Float32Array(given * rowValues).fill(-1)
  for (let head = 0; head < SHAPE.heads; head++)
    for (let row = 0; row < rows; row++)
      out.fill(1000 * head + position + row, (head * given + row) * 4, (head * given + row + 1) * 4)
  return out
}

function append(cache: KvCache, rows: number): void {
  const given = Math.max(rows, 2)
  cache.reserve(cache.position + given)
  const values = rowsFrom(cache.position, rows, given)
  for (let layer = 0; layer < SHAPE.layers; layer++) {
    cache.write(
      layer,
      values,
      values.map((value) => -value),
      given,
      rows,
    )
  }
  cache.position += rows
}

function check(cache: KvCache): void {
  for (let layer = 0; layer < SHAPE.layers; layer++) {
    for (let head = 0; head < SHAPE.heads; head++) {
      for (let position = 0; position < cache.position; position++) {
        const at = (head * cache.capacity + position) * SHAPE.headDim
        expect(cache.keys(layer)[at]).toBe(1000 * head + position)
        expect(cache.values(layer)[at]).toBe(-(1000 * head + position))
      }
    }
  }
}

describe('a KV cache', () => {
  it('keeps its rows through all growth, prompt and single rows alike, and after a rewind', () => {
    const cache = new KvCache(SHAPE)
    for (const rows of [1, 62, 1, 1, 128, 500, 1, 1]) append(cache, rows)
    check(cache)
    cache.position = 100
    append(cache, 3)
    check(cache)
  })

  it('is copied a number of times that does not grow with its length, and has few unused rows', () => {
    const cache = new KvCache(SHAPE)
    const copies: number[] = []
    let capacity = cache.capacity
    while (cache.position < 16_384) {
      append(cache, 1)
      if (cache.capacity === capacity) continue
      capacity = cache.capacity
      copies.push(cache.position)
      expect(capacity % 64).toBe(0)
      expect(capacity).toBeLessThanOrEqual(Math.max(64, cache.position * 1.07) + 128)
    }
    expect(copies.filter((position) => position > 8_192).length).toBeLessThanOrEqual(13)
  })
})
