/** A .npz file whose arrays are taken one by one, row by row. */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Entry, ZipFile } from 'yauzl'
import { shown, TENSOR_ARRAYS } from '../../onnx/index.ts'
import { createTemporary, explainDisk, writeAll } from '../../store/index.ts'
import { ArrayFileError, ArrayTooLargeError } from '../errors.ts'
import { sliced, swapped } from '../rows/row-source.ts'
import type { RowSource } from '../rows/row-source.ts'
import { rowsOfColumns } from './columns.ts'
import type { Columns } from './columns.ts'
import { readHeader } from './header.ts'
import type { ArrayHeader } from './header.ts'
import { MAX_ARRAYS, MAX_HEADER_BYTES } from './limits.ts'
import { textsOf } from './npy.ts'
import { explained, nameOf, openZip, unpacked } from './npz.ts'

/** Magic, version and length of the header. */
const BEFORE_HEADER = 12

/** What it may take to read rows that do not lie one behind the other. */
export interface RowRoom {
  /** Bytes. */
  readonly memory: number
  /** For arrays that have to be unpacked first. */
  readonly folder: string
}

export class NpzArchive {
  readonly #path: string
  readonly #zip: ZipFile
  readonly #entries: ReadonlyMap<string, Entry>
  readonly #undo: (() => Promise<void>)[] = []
  #unpacked = 0
  #across = 0

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

  /** Arrays whose rows take a block of memory each: `memory` of their room. */
  get across(): number {
    return this.#across
  }

  /** Bytes of packed arrays in the order of Fortran that were unpacked into files, to be read across. */
  get unpacked(): number {
    return this.#unpacked
  }

  /**
   * Its rows; undefined for texts, and for a number that stands alone. Where they do not lie one behind the other (the order
   * of Fortran) a block of them is gathered at a time; a packed array is unpacked into a file first.
   * @param name one of `names`. @throws the errors of this room, DiskFullError, StoreUnwritableError
   */
  async rows(name: string, room: RowRoom, signal?: AbortSignal): Promise<RowSource | undefined> {
    const [entry, where, zip] = [this.#entries.get(name)!, this.#where(name), this.#zip]
    const header = readHeader(await beginning(unpacked(zip, entry, where)), where, entry.uncompressedSize)
    const { element, fortran, dims, offset } = header
    const [count, ...rest] = dims
    if (element.kind !== 'number' || count === undefined) return undefined
    const { type, size } = element
    const swap = element.swapped ? size : 1
    const wrong = (): Error => new ArrayFileError(where, 'it has not as many bytes as its shape needs')
    const stride = rest.reduce((product, dim) => product * dim, TENSOR_ARRAYS[type].BYTES_PER_ELEMENT)
    const form = { stride, count, swap, wrong }
    const columns = fortran ? await this.#columns(entry, { header, room, where, wrong }, signal) : undefined
    const rows = (until?: AbortSignal): AsyncIterable<Uint8Array> =>
      columns === undefined
        ? sliced(from(unpacked(zip, entry, where, until), offset), form)
        : inOrder(rowsOfColumns(columns, until), swap)
    return { type, dims: rest, count, rows: type === 'bool' ? (until) => flags(rows(until)) : rows }
  }

  /**
   * What stands in each row of an array with one element a row, as a text: what rows are told apart by.
   * @param name one of `names`. @throws the errors of this room
   */
  async keys(name: string, room: RowRoom, signal?: AbortSignal): Promise<Keys | undefined> {
    const [entry, where, zip] = [this.#entries.get(name)!, this.#where(name), this.#zip]
    const header = readHeader(await beginning(unpacked(zip, entry, where)), where, entry.uncompressedSize)
    const { element, dims, offset } = header
    const [count] = dims
    if (count === undefined || header.count !== count) return undefined
    if (element.kind === 'number') {
      const source = (await this.rows(name, room, signal))!
      return { count, texts: (until) => numbersOf(source, until) }
    }
    const wrong = (): Error => new ArrayFileError(where, 'it has not as many bytes as its shape needs')
    const form = { stride: element.size, count, swap: 1, wrong }
    const rows = (until?: AbortSignal): AsyncIterable<Uint8Array> =>
      sliced(from(unpacked(zip, entry, where, until), offset), form)
    return { count, texts: (until) => decoded(rows(until), (row) => textsOf(row, { element, count: 1 }, where)[0]!) }
  }

  async close(): Promise<void> {
    this.#zip.close()
    for (const undo of this.#undo.reverse()) await undo()
  }

  /** Where each column lies in one piece: in the archive itself, where it is not packed. */
  async #columns(
    entry: Entry,
    { header, room, where, wrong }: Asked & { readonly wrong: () => Error },
    signal?: AbortSignal,
  ): Promise<Columns> {
    this.#across++
    const { dims, offset, element } = header
    const form = { dims, size: element.size, memory: room.memory, wrong }
    if (entry.compressionMethod === 0) {
      // Once from end to end: what it should be by its checksum is told before any of it is used.
      for await (const _ of unpacked(this.#zip, entry, where, signal));
      const { fileDataStart } = await this.#zip.readLocalFileHeaderPromise(entry, { minimal: true })
      const file = await open(this.#path, 'r')
      this.#undo.push(() => file.close())
      return { ...form, file, start: fileDataStart + offset }
    }
    const file = await this.#unpack(entry, { header, room, where }, signal)
    return { ...form, file, start: offset }
  }

  async #unpack(entry: Entry, { room, where }: Asked, signal?: AbortSignal): Promise<FileHandle> {
    let at = 0
    try {
      const temporary = await createTemporary(room.folder, 'columns', 0o600)
      this.#undo.push(() => temporary.discard())
      for await (const chunk of unpacked(this.#zip, entry, where, signal)) {
        await writeAll(temporary.handle, chunk, at)
        at += chunk.length
        this.#unpacked += chunk.length
      }
      const file = await open(temporary.path, 'r')
      this.#undo.push(() => file.close())
      return file
    } catch (error) {
      throw await explainDisk(error, room.folder, entry.uncompressedSize - at)
    }
  }

  #where(name: string): string {
    return `${shown(name)} of ${shown(this.#path)}`
  }
}

export interface Keys {
  readonly count: number
  texts(signal?: AbortSignal): AsyncIterable<string>
}

function numbersOf(source: RowSource, signal?: AbortSignal): AsyncIterable<string> {
  const Numbers = TENSOR_ARRAYS[source.type]
  return decoded(source.rows(signal), (row) => String(new Numbers(row.buffer as ArrayBuffer, row.byteOffset, 1)[0]))
}

async function* decoded(rows: AsyncIterable<Uint8Array>, text: (row: Uint8Array) => string): AsyncGenerator<string> {
  for await (const row of rows) yield text(row)
}

interface Asked {
  readonly header: ArrayHeader
  readonly room: RowRoom
  readonly where: string
}

/** In the order of this machine's bytes. */
async function* inOrder(rows: AsyncIterable<Uint8Array>, swap: number): AsyncGenerator<Uint8Array> {
  for await (const row of rows) {
    swapped(Buffer.from(row.buffer, row.byteOffset, row.length), swap)
    yield row
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
