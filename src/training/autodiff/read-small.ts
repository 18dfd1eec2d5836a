/** Small constants that lie in files, for the shapes that they decide. */
import { closeSync, openSync, readSync } from 'node:fs'
import type { TensorValue } from '../../onnx/index.ts'

/** More bytes than the shapes of a graph ever have. */
const MOST_BYTES = 8192

/** The bytes of a tensor; undefined for one that is large, or cannot be read. */
export function readSmall({ data }: TensorValue): Uint8Array | undefined {
  if (data.kind === 'bytes') return data.bytes
  if (data.kind !== 'range' || data.length > MOST_BYTES) return undefined
  try {
    const file = openSync(data.path, 'r')
    try {
      const bytes = new Uint8Array(data.length)
      return readSync(file, bytes, 0, data.length, data.offset) === data.length ? bytes : undefined
    } finally {
      closeSync(file)
    }
  } catch {
    return undefined
  }
}
