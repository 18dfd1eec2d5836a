/** Sums of blocks in a pre-packed form: found where they are exactly what is expected, changed, and put back. */
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findBlockSums } from '../../src/onnx/index.ts'
import type { BlockSums } from '../../src/onnx/index.ts'

const [OUTPUTS, BLOCKS, ZERO, QUANTS, START] = [20, 3, 8, 960, 64]
const SCALES = Float32Array.from({ length: OUTPUTS * BLOCKS }, (_, at) => Math.fround(0.01 * (at + 1)))

let directory: string
let path: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-sums-'))
  path = join(directory, 'form')
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** As the kernel lays them: sixteen outputs side by side, block after block. */
function laid(value: (output: number, block: number) => number): Float32Array {
  const sums = new Float32Array(32 * BLOCKS)
  for (let output = 0; output < OUTPUTS; output++)
    for (let block = 0; block < BLOCKS; block++)
      sums[((output >> 4) * BLOCKS + block) * 16 + (output & 15)] = value(output, block)
  return sums
}

function form(sums: Float32Array): Buffer {
  return Buffer.concat([
    Buffer.alloc(10, 1),
    Buffer.alloc(QUANTS + START, 2),
    Buffer.from(sums.buffer),
    Buffer.alloc(512),
  ])
}

async function found(bytes: Uint8Array, use: (sums: BlockSums | undefined) => Promise<void>): Promise<Buffer> {
  await writeFile(path, bytes)
  const file = await open(path, 'r+')
  const parts = [{ offset: 10, length: bytes.length - 10 }]
  const job = { file, form: { key: 'k', parts }, quants: QUANTS, zero: ZERO, outputs: OUTPUTS, blocks: BLOCKS }
  try {
    await use(await findBlockSums({ ...job, scales: SCALES }))
  } finally {
    await file.close()
  }
  return readFile(path)
}

const own = (output: number, block: number): number => -ZERO * SCALES[output * BLOCKS + block]!

describe('sums of blocks', () => {
  it('take offsets, and can be what they were', async () => {
    const offsets = Float32Array.from({ length: BLOCKS * OUTPUTS }, (_, at) => at - 7.5)
    const whole = form(laid(own))
    const changed = await found(whole, async (sums) => sums!.write(offsets))
    const expected = laid((output, block) => Math.fround(own(output, block)) + offsets[block * OUTPUTS + output]!)
    expect(changed.equals(form(expected))).toBe(true)
    const restored = await found(whole, async (sums) => {
      await sums!.write(offsets)
      await sums!.restore()
    })
    expect(restored.equals(whole)).toBe(true)
  })

  it('are not found where one of them is another, where they lie elsewhere, or the form ends', async () => {
    const other = form(laid((output, block) => (output === 19 && block === 2 ? 1 : own(output, block))))
    const far = Buffer.concat([Buffer.alloc(10), Buffer.alloc(QUANTS + 4096), Buffer.from(laid(own).buffer)])
    const short = form(laid(own)).subarray(0, 10 + QUANTS + START + 100)
    for (const bytes of [other, far, short]) {
      const after = await found(bytes, async (sums) => expect(sums).toBeUndefined())
      expect(after.equals(bytes)).toBe(true)
    }
  })
})
