/**
 * The embedding needs no memory: a token's row is read from the stored tensor and de-quantised when it is asked for.
 * The system's page cache keeps what is used often.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { dequantize, floatsToHalves, sourceBytes } from '../dequantize/index.ts'
import type { BoundaryType, TensorRef } from '../manifest.ts'

export interface Embedding {
  /** Rows of the tokens in the boundary's type, one after another. */
  rows(ids: Int32Array): Uint8Array
  close(): void
}

/** @param path the file with exactly the tensor's source bytes. */
export function openEmbedding(path: string, ref: TensorRef, boundary: BoundaryType): Embedding {
  const [vocabulary, width] = ref.shape as [number, number]
  const rowBytes = sourceBytes(ref.type, width)
  const file = openSync(path, 'r')
  const raw = new Uint8Array(rowBytes)
  return {
    rows(ids) {
      const out = new Float32Array(ids.length * width)
      for (const [index, id] of ids.entries()) {
        if (id < 0 || id >= vocabulary) throw new RangeError(`token ${id} is outside the vocabulary of ${vocabulary}`)
        for (let done = 0; done < rowBytes;) {
          const read = readSync(file, raw, done, rowBytes - done, id * rowBytes + done)
          if (read === 0) throw new RangeError(`the embedding's file ends inside row ${id}`)
          done += read
        }
        out.set(dequantize(ref.type, raw, width), index * width)
      }
      return new Uint8Array((boundary === 'f16' ? floatsToHalves(out) : out).buffer)
    },
    close: () => closeSync(file),
  }
}
