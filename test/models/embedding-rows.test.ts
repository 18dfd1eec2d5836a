/** Rows of an embedding that are read together, and those that are looked through: the bits of each row alone. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dequantize, openEmbedding, sourceBytes, unpackQuants } from '../../src/models/index.ts'
import type { SourceType, TensorRef } from '../../src/models/index.ts'
import { outerTokens } from '../../src/pipeline/host/range/text-levels.ts'
import { levelOfSingles } from '../../src/pipeline/row-level.ts'
import { SMALL } from '../pipeline/support/random-model.ts'
import { randomBlocks } from './support/random-bytes.ts'

/** More rows than one look takes (65,536 elements). */
const [VOCABULARY, WIDTH] = [1_301, 64]

let directory: string

beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'weft-rows-'))))
afterAll(() => rm(directory, { recursive: true, force: true }))

async function embeddingOf(type: SourceType, bytes: Uint8Array) {
  const path = join(directory, type)
  await writeFile(path, bytes)
  const shape = { ...SMALL, vocabulary: VOCABULARY, width: WIDTH }
  const ref: TensorRef = {
    name: 'token_embd.weight',
    type,
    shape: [VOCABULARY, WIDTH],
    bytes: bytes.length,
    address: '',
  }
  return openEmbedding(path, shape, ref, 'f32')
}

describe('rows of an embedding', () => {
  it.each(['Q8_0', 'Q4_0', 'Q4_1'] as const)(
    'of %s are those of each token alone, read in any company',
    async (type) => {
      const bytes = randomBlocks(type, 3, (VOCABULARY * WIDTH) / 32)
      const embedding = await embeddingOf(type, bytes)
      const rowBytes = sourceBytes(type, WIDTH)
      const alone = (id: number): Buffer =>
        Buffer.from(dequantize(type, bytes.slice(id * rowBytes, (id + 1) * rowBytes), WIDTH).buffer)
      for (const ids of [[0], [5, 6, 7], [7, 6, 5], [4, 4, 5], [1_299, 1_300, 0, 1], [9, 11, 12, 12, 13]]) {
        const rows = embedding.rows(Int32Array.from(ids))
        expect(Buffer.compare(rows, Buffer.concat(ids.map(alone))), ids.join()).toBe(0)
      }
      expect(() => embedding.rows(Int32Array.of(1_299, 1_300, VOCABULARY))).toThrow(`token ${VOCABULARY} is outside`)
      const levels = Array.from({ length: VOCABULARY }, (_, id) =>
        levelOfSingles(new Uint32Array(Uint8Array.from(alone(id)).buffer)),
      )
      const finite = levels.filter((level) => !Number.isNaN(level))
      const outer = outerTokens(embedding, VOCABULARY, WIDTH)
      expect([outer.low, outer.high]).toEqual([Math.min(...finite), Math.max(...finite)])
      expect(outer.ids).toEqual([levels.indexOf(outer.low), levels.indexOf(outer.high)])
      embedding.close()
    },
  )

  it('whose file is too short are refused by their number', async () => {
    const bytes = randomBlocks('Q8_0', 3, (VOCABULARY * WIDTH) / 32)
    const embedding = await embeddingOf('Q8_0', bytes.subarray(0, 10 * sourceBytes('Q8_0', WIDTH) + 5))
    expect(() => embedding.rows(Int32Array.of(8, 9, 10, 11))).toThrow('ends inside row 10')
    embedding.close()
  })
})

describe('Q8_0 in one go', () => {
  it('has the bits of its integers and scales, whatever these are and wherever it begins', () => {
    const blocks = 40
    const bytes = randomBlocks('Q8_0', 5, blocks)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    // Zero, minus zero, the smallest, the largest, infinite and no number.
    for (const [at, half] of [0, 0x8000, 1, 0x7bff, 0x7c00, 0x7e00].entries()) view.setUint16(at * 34, half, true)
    for (const start of [0, 1, 3]) {
      const placed = new Uint8Array(bytes.length + start)
      placed.set(bytes, start)
      const { quants, scales } = unpackQuants('Q8_0', bytes, blocks, 32)
      const expected = Float32Array.from(quants, (quant, index) => scales[Math.floor(index / 32)]! * (quant - 128))
      const actual = dequantize('Q8_0', placed.subarray(start), blocks * 32)
      expect(Buffer.from(actual.buffer).equals(Buffer.from(expected.buffer))).toBe(true)
    }
    expect(() => dequantize('Q8_0', bytes.subarray(1), blocks * 32)).toThrow('elements of Q8_0')
  })
})
