/**
 * The format of MNIST and its kin (IDX): two zero bytes, a type, a rank, big-endian sizes, elements; packed by gzip or
 * plain. Told apart by its content, not by its name.
 */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { shown, TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { MOST_UNPACKED } from '../numpy/limits.ts'
import { collected, sliced } from '../rows/row-source.ts'
import type { RowSource } from '../rows/row-source.ts'
import { needFile } from '../need-file.ts'
import { TableMalformedError, TableUnreadableError } from '../table/errors.ts'

/** By the third byte of the file. */
const TYPES: Readonly<Record<number, Tensor['type']>> = {
  0x08: 'uint8',
  0x09: 'int8',
  0x0b: 'int16',
  0x0c: 'int32',
  0x0d: 'float32',
  0x0e: 'float64',
}
const MAX_RANK = 8
const MOST_HEADER_BYTES = 4 + 4 * MAX_RANK

/** All of a file. @throws TableMalformedError, TableUnreadableError, ArrayTooLargeError */
export async function readIdx(path: string): Promise<Tensor> {
  const source = await openIdx(path)
  return collected(source, shown(path))
}

interface File {
  readonly path: string
  readonly size: number
  readonly isPacked: boolean
}

/** A file row by row, however large. @throws TableMalformedError, TableUnreadableError */
export async function openIdx(path: string): Promise<RowSource> {
  const file = await looked(path)
  const { type, dims, start } = headerOf(await firstBytes(file), path)
  const [count = 0, ...rest] = dims
  const width = TENSOR_ARRAYS[type].BYTES_PER_ELEMENT
  const stride = rest.reduce((product, size) => product * size, width)
  const wanted = start + count * stride
  const wrong = (): TableMalformedError =>
    new TableMalformedError(shown(path), `it does not have the ${count * stride} bytes that its sizes ask for`)
  if (file.isPacked ? wanted > MOST_UNPACKED * file.size : wanted !== file.size) throw wrong()
  const form = { stride, count, swap: width, wrong }
  return { type, dims: rest, count, rows: (signal) => sliced(bytesFrom(file, start, signal), form) }
}

function headerOf(
  bytes: Buffer,
  path: string,
): { readonly type: Tensor['type']; readonly dims: readonly number[]; readonly start: number } {
  const wrong = (why: string): TableMalformedError => new TableMalformedError(shown(path), why)
  const type = TYPES[bytes[2] ?? -1]
  const rank = bytes[3] ?? 0
  if (bytes.length < 4 || bytes.readUInt16BE(0) !== 0 || type === undefined || rank === 0 || rank > MAX_RANK) {
    throw wrong('it does not begin as an IDX file does')
  }
  const start = 4 + 4 * rank
  if (bytes.length < start) throw wrong('it is cut off in its header')
  return { type, dims: Array.from({ length: rank }, (_, axis) => bytes.readUInt32BE(4 + 4 * axis)), start }
}

async function looked(path: string): Promise<File> {
  try {
    const handle = await open(path, 'r')
    try {
      const magic = Buffer.alloc(2)
      await handle.read(magic, 0, 2, 0)
      return { path, size: (await handle.stat()).size, isPacked: magic[0] === 0x1f && magic[1] === 0x8b }
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw new TableUnreadableError(path, error)
  }
}

async function firstBytes(file: File): Promise<Buffer> {
  let first = Buffer.alloc(0)
  for await (const chunk of bytesFrom(file, 0)) {
    first = Buffer.concat([first, chunk])
    if (first.length >= MOST_HEADER_BYTES) break
  }
  return first
}

/** Unpacked, from a place on. */
async function* bytesFrom({ path, isPacked }: File, from: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  await needFile(path)
  const file = createReadStream(path)
  const stream = isPacked ? file.pipe(createGunzip()) : file
  if (isPacked) file.on('error', (error) => stream.destroy(error))
  let skipped = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      signal?.throwIfAborted()
      const left = Math.min(chunk.length, from - skipped)
      skipped += left
      yield chunk.subarray(left)
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof TableMalformedError) throw error
    const isDamaged = String((error as NodeJS.ErrnoException).code).startsWith('Z_')
    if (!isDamaged) throw new TableUnreadableError(path, error)
    throw new TableMalformedError(shown(path), `its gzip is damaged: ${(error as Error).message}`)
  } finally {
    stream.destroy()
    file.destroy()
  }
}
