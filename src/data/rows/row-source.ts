/** Rows of one field that come one by one out of a file: what it takes to read them does not grow with their number. */
import { ArrayTooLargeError } from '../errors.ts'
import type { Tensor } from '../../onnx/index.ts'
import { asBytes, bytesOf, emptyTensor } from './rows.ts'

export interface RowSource {
  readonly type: Tensor['type']
  /** Of a row. */
  readonly dims: readonly number[]
  readonly count: number
  /**
   * The bytes of each row in this machine's order, aligned for its type; they hold until the next row is asked for.
   * @throws the errors of the file
   */
  rows(signal?: AbortSignal): AsyncIterable<Uint8Array>
}

/** A typed array may be larger; what is read whole is labels and the like. */
export const MOST_WHOLE_BYTES = 2 ** 31

/** All rows in memory. @param where the file, as it may be printed. @throws ArrayTooLargeError, and what its rows throw */
export async function collected(source: RowSource, where: string): Promise<Tensor> {
  const field = { name: '', type: source.type, dims: source.dims }
  const size = bytesOf(field)
  if (size * source.count > MOST_WHOLE_BYTES) {
    throw new ArrayTooLargeError(where, 'bytes', size * source.count, MOST_WHOLE_BYTES)
  }
  const tensor = emptyTensor(field, source.count)
  const bytes = asBytes(tensor)
  let at = 0
  for await (const row of source.rows()) {
    bytes.set(row, at)
    at += size
  }
  return tensor
}

export interface Sliced {
  readonly stride: number
  readonly count: number
  /** Of one number; more than 1 where the file has the other order of bytes. */
  readonly swap: number
  /** The file has less or more than `count` rows. */
  readonly wrong: () => Error
}

/** Rows out of bytes as they come. */
export async function* sliced(chunks: AsyncIterable<Uint8Array>, form: Sliced): AsyncGenerator<Uint8Array> {
  const { stride, count, wrong } = form
  const row = Buffer.from(new ArrayBuffer(stride))
  let [filled, done] = [0, 0]
  // Rows of nothing are as many as anybody says.
  if (stride === 0) return
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      if (done === count) throw wrong()
      const taken = Math.min(stride - filled, chunk.length - at)
      row.set(chunk.subarray(at, at + taken), filled)
      filled += taken
      at += taken
      if (filled < stride) continue
      swapped(row, form.swap)
      yield row
      filled = 0
      done++
    }
  }
  if (done < count) throw wrong()
}

/** Turns the order of bytes of each number around, in place. @param size of a number; 1 is left as it is */
export function swapped(row: Buffer, size: number): void {
  if (size === 2) row.swap16()
  if (size === 4) row.swap32()
  if (size === 8) row.swap64()
}
