/**
 * The embedding needs no memory: a token's row is read from the stored tensor and de-quantised when it is asked for.
 * The system's page cache keeps what is used often.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import type { StoredTensor, WeightFile } from '../../onnx/index.ts'
import { BlobDamagedError, verifyBlob } from '../../store/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { dequantize, floatsToHalves, sourceBytes } from '../dequantize/index.ts'
import type { BoundaryType, DecoderShape, SourceType, TensorRef } from '../manifest.ts'

export interface Embedding {
  /** Rows of the tokens in the boundary's type, one after another. */
  rows(ids: Int32Array): Uint8Array
  close(): void
}

/** @param path the file with exactly the tensor's source bytes. */
export function openEmbedding(path: string, shape: DecoderShape, ref: TensorRef, boundary: BoundaryType): Embedding {
  const [vocabulary, width] = ref.shape as [number, number]
  const rowBytes = sourceBytes(ref.type, width)
  const file = openSync(path, 'r')
  /** Source bytes of rows that lie one behind the other. */
  const read = (first: number, count: number): Uint8Array => {
    const raw = new Uint8Array(count * rowBytes)
    for (let done = 0; done < raw.length;) {
      const bytes = readSync(file, raw, done, raw.length - done, first * rowBytes + done)
      if (bytes === 0)
        throw new RangeError(`the embedding's file ends inside row ${first + Math.floor(done / rowBytes)}`)
      done += bytes
    }
    return raw
  }
  return {
    rows(ids) {
      const wrong = ids.find((id) => id < 0 || id >= vocabulary)
      if (wrong !== undefined) throw new RangeError(`token ${wrong} is outside the vocabulary of ${vocabulary}`)
      const out = new Float32Array(ids.length * width)
      for (let at = 0; at < ids.length;) {
        let end = at + 1
        while (end < ids.length && ids[end] === ids[end - 1]! + 1) end++
        out.set(scaledRows(shape, ref.type, read(ids[at]!, end - at), (end - at) * width), at * width)
        at = end
      }
      return boundaryBytes(out, boundary)
    },
    close: () => closeSync(file),
  }
}

/** Rows as they go from one block to the next. */
export function boundaryBytes(rows: Float32Array, boundary: BoundaryType): Uint8Array {
  const { buffer, byteOffset, byteLength } = boundary === 'f16' ? floatsToHalves(rows) : rows
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** Source bytes of the embedding that are de-quantised at once. */
const EMBEDDING_STEP = 1 << 20

/**
 * All rows of the embedding in the boundary's type, rounded as `openEmbedding` rounds each of them.
 * @throws BlobDamagedError
 */
export async function packEmbedding(
  store: BlobStore,
  shape: DecoderShape,
  ref: TensorRef,
  boundary: BoundaryType,
  file: WeightFile,
): Promise<StoredTensor> {
  if (!(await verifyBlob(store, ref.address))) throw new BlobDamagedError(ref.address)
  const [rows, width] = ref.shape as [number, number]
  const table = boundary === 'f16' ? new Uint16Array(rows * width) : new Float32Array(rows * width)
  const rowBytes = sourceBytes(ref.type, width)
  const step = Math.max(1, Math.floor(EMBEDDING_STEP / rowBytes))
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row)
    const bytes = await store.read(ref.address, row * rowBytes, count * rowBytes)
    const values = scaledRows(shape, ref.type, bytes, count * width)
    table.set(boundary === 'f16' ? floatsToHalves(values) : values, row * width)
  }
  return file.append(boundary, [rows, width], table)
}

/** In float32, and scaled before anything is rounded to the boundary's type. */
function scaledRows(shape: DecoderShape, type: SourceType, bytes: Uint8Array, count: number): Float32Array {
  const values = dequantize(type, bytes, count)
  if (shape.embedding_scale === undefined) return values
  const scale = Math.fround(shape.embedding_scale)
  return values.map((value) => value * scale)
}
