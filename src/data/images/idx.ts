/**
 * The format of MNIST and its kin (IDX): two zero bytes, a type, a rank, big-endian sizes, elements; packed by gzip or
 * plain. Told apart by its content, not by its name.
 */
import { readFile, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { shown, TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { TableMalformedError, TableUnreadableError } from '../table/errors.ts'

const unpack = promisify(gunzip)

/** By the third byte of the file. */
const TYPES: Readonly<Record<number, Tensor['type']>> = {
  0x08: 'uint8',
  0x09: 'int8',
  0x0b: 'int16',
  0x0c: 'int32',
  0x0d: 'float32',
  0x0e: 'float64',
}
const MAX_BYTES = 2 ** 31
const MAX_RANK = 8

/** @throws TableMalformedError, TableUnreadableError */
export async function readIdx(path: string): Promise<Tensor> {
  const bytes = await contents(path)
  const wrong = (why: string): TableMalformedError => new TableMalformedError(shown(path), why)
  const type = TYPES[bytes[2] ?? -1]
  const rank = bytes[3] ?? 0
  if (bytes.length < 4 || bytes.readUInt16BE(0) !== 0 || type === undefined || rank === 0 || rank > MAX_RANK) {
    throw wrong('it does not begin as an IDX file does')
  }
  const start = 4 + 4 * rank
  if (bytes.length < start) throw wrong('it is cut off in its header')
  const dims = Array.from({ length: rank }, (_, axis) => bytes.readUInt32BE(4 + 4 * axis))
  const count = dims.reduce((product, size) => product * size, 1)
  const size = TENSOR_ARRAYS[type].BYTES_PER_ELEMENT
  if (count * size !== bytes.length - start) {
    throw wrong(`its sizes ask for ${count * size} bytes, and ${bytes.length - start} are there`)
  }
  const body = Buffer.from(bytes.subarray(start))
  if (size === 2) body.swap16()
  if (size === 4) body.swap32()
  if (size === 8) body.swap64()
  const own = new Uint8Array(body)
  return { type, dims, data: new TENSOR_ARRAYS[type](own.buffer, 0, count) }
}

async function contents(path: string): Promise<Buffer> {
  let bytes: Buffer
  try {
    const { size } = await stat(path)
    if (size > MAX_BYTES) throw new Error(`it has ${size} bytes, and ${MAX_BYTES} are the most`)
    bytes = await readFile(path)
  } catch (error) {
    throw new TableUnreadableError(path, error)
  }
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  return unpack(bytes, { maxOutputLength: MAX_BYTES }).catch((error: unknown) => {
    throw new TableMalformedError(shown(path), `its gzip is damaged: ${(error as Error).message}`)
  })
}
