/** Arrays in the order of Fortran, row by row: the rows that they are in memory, and no more of them at once than there is room for. */
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NpzArchive, readNpz } from '../../src/data/index.ts'
import { rowsOfColumns } from '../../src/data/numpy/columns.ts'
import { TENSOR_ARRAYS } from '../../src/onnx/index.ts'
import type { Tensor } from '../../src/onnx/index.ts'
import { zip } from '../models/support/archives.ts'
import { fortranNpy } from './fortran.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-columns-'))
})

afterAll(() => rm(folder, { recursive: true }))

/** Numbers with other bytes each. */
function counted(type: Tensor['type'], dims: readonly number[]): Tensor {
  const data = new TENSOR_ARRAYS[type](dims.reduce((product, dim) => product * dim, 1))
  const bytes = Buffer.from(data.buffer)
  for (let at = 0; at < bytes.length; at++) bytes[at] = type === 'bool' ? at % 2 : (at * 37 + (at >> 8)) % 256
  return { type, dims, data }
}

async function archiveOf(npy: Buffer, method: number): Promise<string> {
  const path = join(folder, 'x.npz')
  const first = { name: 'first.npy', data: npy.subarray(0, 128) }
  await writeFile(path, zip([first, { name: 'x.npy', data: npy, method }]))
  return path
}

interface Read {
  readonly bytes: Buffer
  readonly count: number
  readonly unpacked: number
  /** Files for work while it was read, and after it. */
  readonly files: readonly number[]
}

async function readRows(path: string, memory: number): Promise<Read> {
  const scratch = await mkdtemp(join(folder, 'scratch-'))
  const archive = await NpzArchive.open(path)
  try {
    const source = (await archive.rows('x', { memory, folder: scratch }))!
    const rows: Buffer[] = []
    for await (const row of source.rows()) rows.push(Buffer.from(row))
    // And from the first row once more.
    for await (const row of source.rows()) {
      expect(Buffer.from(row).equals(rows[0]!)).toBe(true)
      break
    }
    const during = (await readdir(scratch)).length
    await archive.close()
    const files = [during, (await readdir(scratch)).length]
    return { bytes: Buffer.concat(rows), count: source.count, unpacked: archive.unpacked, files }
  } finally {
    await archive.close()
  }
}

async function scratchFiles(): Promise<readonly string[]> {
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => name.endsWith('.tmp'))
}

const TYPES = Object.keys(TENSOR_ARRAYS) as Tensor['type'][]

test('rows are those of the array read whole, of any type, shape, packing and order of bytes, in little memory or much', async () => {
  const arrays = fc.record({
    type: fc.constantFrom(...TYPES),
    dims: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
    isBig: fc.boolean(),
    method: fc.constantFrom(0, 8),
    memory: fc.constantFrom(1, 300, 1 << 20),
  })
  await fc.assert(
    fc.asyncProperty(arrays, async ({ type, dims, isBig, method, memory }) => {
      const whole = counted(type, dims)
      const npy = fortranNpy(whole, isBig)
      const path = join(folder, 'law.npz')
      await writeFile(path, zip([{ name: 'x.npy', data: npy, method }]))
      expect((await readNpz(path)).get('x')).toEqual(whole)
      const { bytes, count, unpacked, files } = await readRows(path, memory)
      expect(count).toBe(dims[0])
      expect(bytes.equals(Buffer.from(whole.data.buffer))).toBe(true)
      expect(unpacked).toBe(method === 8 ? npy.length : 0)
      expect(files).toEqual([method === 8 ? 1 : 0, 0])
    }),
    { numRuns: 60 },
  )
})

test('no piece that is read is larger than the room, each byte is read once, and blocks are as large as they may be', async () => {
  const [dims, size] = [[5000, 3, 7], 4] as const
  const path = join(folder, 'plain')
  await writeFile(path, new Uint8Array(5000 * 3 * 7 * size))
  const file = await open(path, 'r')
  const seen = { bytes: 0, largest: 0, reads: 0 }
  const read = (async (buffer: Uint8Array, offset: number, length: number, position: number) => {
    seen.bytes += length
    seen.largest = Math.max(seen.largest, buffer.byteLength)
    seen.reads++
    return file.read(buffer, offset, length, position)
  }) as FileHandle['read']
  const memory = 64 << 10
  let largest = 0
  const wrong = (): Error => new Error('cut')
  for await (const row of rowsOfColumns({ dims, size, start: 0, file: { read }, memory, wrong })) {
    largest = Math.max(largest, row.buffer.byteLength)
  }
  // A block, and the sixteen pieces of columns beside it.
  expect(largest + 16 * seen.largest).toBeLessThanOrEqual(memory)
  expect(largest + 16 * seen.largest).toBeGreaterThan(memory * 0.9)
  expect(seen.bytes).toBe(5000 * 3 * 7 * size)
  expect(seen.reads).toBe(21 * Math.ceil(5000 / (largest / (21 * size))))
  await file.close()
})

test.each([0, 8])('an array that is damaged is refused before a row of it is used (method %i)', async (method) => {
  const npy = fortranNpy(counted('float32', [30, 40]))
  const path = await archiveOf(npy, method)
  const bytes = await readFile(path)
  const at = bytes.lastIndexOf(Buffer.from('PK\u0001\u0002', 'latin1')) - 400
  bytes[at] = bytes[at]! ^ 0x10
  await writeFile(path, bytes)
  await expect(readRows(path, 1 << 16)).rejects.toMatchObject({ code: 'WEFT-DAT-001' })
  expect(await scratchFiles()).toEqual([])
})

test('texts have no rows, nor has a number that stands alone', async () => {
  const archive = await NpzArchive.open(join(import.meta.dirname, 'fixtures/numpy-savez.npz'))
  const room = { memory: 1, folder }
  expect([await archive.rows('Zürich', room), await archive.rows('scalar', room)]).toEqual([undefined, undefined])
  await archive.close()
})
