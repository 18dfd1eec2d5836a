/**
 * Rows of an array whose first axis changes fastest (the order of Fortran): a block of them at a time is gathered out of all
 * columns of the file, so that what is in memory does not grow with their number.
 */
import type { FileHandle } from 'node:fs/promises'

export interface Columns {
  /** Of the array: rows, and then the axes of a row. */
  readonly dims: readonly number[]
  /** Bytes of an element: 1, 2, 4 or 8. */
  readonly size: number
  /** Where the elements begin in the file. */
  readonly start: number
  readonly file: Pick<FileHandle, 'read'>
  /** Bytes that a block may take; a row at least. */
  readonly memory: number
  /** The file ends too early. */
  readonly wrong: () => Error
}

/** Pieces of columns that are read side by side: a disk answers more than one at a time. */
const AT_ONCE = 16

/** The bytes of each row, the last axis fastest, in the file's order of bytes; each has a buffer of its own until the next block. */
export async function* rowsOfColumns(columns: Columns, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const { dims, size, memory } = columns
  const [count = 0, ...axes] = dims
  const width = axes.reduce((product, dim) => product * dim, 1)
  if (width === 0) return
  const most = Math.max(1, Math.min(count, Math.floor(memory / ((width + AT_ONCE) * size))))
  const block = new Uint8Array(most * width * size)
  const pieces = Array.from({ length: Math.min(AT_ONCE, width) }, () => new Uint8Array(most * size))
  const places = placesOf(axes)
  for (let first = 0; first < count; first += most) {
    const rows = Math.min(most, count - first)
    for (let column = 0; column < width; column += pieces.length) {
      signal?.throwIfAborted()
      const now = pieces.slice(0, width - column)
      await Promise.all(now.map((piece, at) => readPiece(columns, piece, first + (column + at) * count, rows)))
      for (const piece of now) scatter(piece, block, { rows, width, size, place: places.next().value })
    }
    for (let row = 0; row < rows; row++) yield block.subarray(row * width * size, (row + 1) * width * size)
  }
}

async function readPiece(
  { file, start, size, wrong }: Columns,
  piece: Uint8Array,
  at: number,
  rows: number,
): Promise<void> {
  const bytes = rows * size
  for (let done = 0; done < bytes;) {
    const { bytesRead } = await file.read(piece, done, bytes - done, start + at * size + done)
    if (bytesRead === 0) throw wrong()
    done += bytesRead
  }
}

interface Form {
  readonly rows: number
  readonly width: number
  readonly size: number
  readonly place: number
}

/** A column into its place in each row, in words that are as wide as an element allows. */
function scatter(piece: Uint8Array, block: Uint8Array, { rows, width, size, place }: Form): void {
  const Words = size === 1 ? Uint8Array : size === 2 ? Uint16Array : Uint32Array
  const words = Math.max(1, size / 4)
  const [from, to] = [piece, block].map(
    ({ buffer, byteLength }) => new Words(buffer as ArrayBuffer, 0, byteLength / (size / words)),
  )
  for (let row = 0; row < rows; row++) {
    const target = (row * width + place) * words
    for (let word = 0; word < words; word++) to![target + word] = from![row * words + word]!
  }
}

/** For each column in the file's order, its place in a row whose last axis changes fastest; then again from the first. */
function* placesOf(axes: readonly number[]): Generator<number, never> {
  const strides = axes.map((_, axis) => axes.slice(axis + 1).reduce((product, dim) => product * dim, 1))
  const at = axes.map(() => 0)
  for (let place = 0; ;) {
    yield place
    for (let axis = 0; axis < axes.length; axis++) {
      place += strides[axis]!
      if (++at[axis]! < axes[axis]!) break
      place -= strides[axis]! * axes[axis]!
      at[axis] = 0
    }
  }
}
