/** A .npz file whose arrays are taken one by one: one whole, another row by row. */
import type { Entry, ZipFile } from 'yauzl'
import { shown, TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { AnyTensor } from '../../onnx/index.ts'
import { ArrayFileError, ArrayTooLargeError } from '../errors.ts'
import { sliced } from '../rows/row-source.ts'
import type { RowSource } from '../rows/row-source.ts'
import { readHeader } from './header.ts'
import { MAX_ARRAYS, MAX_HEADER_BYTES } from './limits.ts'
import { decodeNpy } from './npy.ts'
import { contents, explained, nameOf, openZip, unpacked } from './npz.ts'

/** Magic, version and length of the header. */
const BEFORE_HEADER = 12

export class NpzArchive {
  readonly #path: string
  readonly #zip: ZipFile
  readonly #entries: ReadonlyMap<string, Entry>

  private constructor(path: string, zip: ZipFile, entries: ReadonlyMap<string, Entry>) {
    this.#path = path
    this.#zip = zip
    this.#entries = entries
  }

  /** @throws the errors of this room */
  static async open(path: string): Promise<NpzArchive> {
    const zip = await openZip(path)
    const entries = new Map<string, Entry>()
    try {
      if (zip.entryCount > MAX_ARRAYS) throw new ArrayTooLargeError(shown(path), 'arrays', zip.entryCount, MAX_ARRAYS)
      for await (const entry of explained(path, zip.eachEntry())) {
        const name = nameOf(entry, path)
        if (entries.has(name)) throw new ArrayFileError(`${shown(name)} of ${shown(path)}`, 'the name stands twice')
        entries.set(name, entry)
      }
    } catch (error) {
      zip.close()
      throw error
    }
    return new NpzArchive(path, zip, entries)
  }

  /** In the file's order. */
  get names(): readonly string[] {
    return [...this.#entries.keys()]
  }

  /** @param name one of `names`. @throws the errors of this room */
  async array(name: string, signal?: AbortSignal): Promise<AnyTensor> {
    const where = this.#where(name)
    return decodeNpy(await contents(this.#zip, this.#entries.get(name)!, where, signal), where)
  }

  /**
   * Its rows, where they lie one behind the other; undefined for texts and for the order of Fortran.
   * @param name one of `names`. @throws the errors of this room
   */
  async rows(name: string): Promise<RowSource | undefined> {
    const [entry, where, zip] = [this.#entries.get(name)!, this.#where(name), this.#zip]
    const first = await beginning(unpacked(zip, entry, where))
    const { element, fortran, dims, offset } = readHeader(first, where, entry.uncompressedSize)
    const [count, ...rest] = dims
    if (element.kind !== 'number' || fortran || count === undefined) return undefined
    const { type, size, swapped } = element
    const form = {
      stride: rest.reduce((product, dim) => product * dim, TENSOR_ARRAYS[type].BYTES_PER_ELEMENT),
      count,
      swap: swapped ? size : 1,
      wrong: () => new ArrayFileError(where, 'it has not as many bytes as its shape needs'),
    }
    const rows = (signal?: AbortSignal): AsyncIterable<Uint8Array> =>
      sliced(from(unpacked(zip, entry, where, signal), offset), form)
    return { type, dims: rest, count, rows: type === 'bool' ? (signal) => flags(rows(signal)) : rows }
  }

  close(): void {
    this.#zip.close()
  }

  #where(name: string): string {
    return `${shown(name)} of ${shown(this.#path)}`
  }
}

/** As much as a header may have. */
async function beginning(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const chunk of chunks) {
    pieces.push(chunk)
    size += chunk.length
    if (size >= MAX_HEADER_BYTES + BEFORE_HEADER) break
  }
  return Buffer.concat(pieces)
}

async function* from(chunks: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Uint8Array> {
  let left = offset
  for await (const chunk of chunks) {
    const skipped = Math.min(left, chunk.length)
    left -= skipped
    yield chunk.subarray(skipped)
  }
}

/** Whatever is not 0 is 1. */
async function* flags(rows: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const row of rows) yield row.map((value) => (value === 0 ? 0 : 1))
}
