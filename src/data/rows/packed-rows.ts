/**
 * Rows that come one by one: packed one behind the other, in memory as far as it may go, then in a file of their own, so
 * that a table may be larger than memory and is still shuffled exactly.
 */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { createTemporary, explainDisk, writeAll } from '../../store/index.ts'
import type { TemporaryFile } from '../../store/index.ts'
import { asBytes, bytesOf, emptyTensor, rowBytes } from './rows.ts'
import type { Batch, RowField, Rows, RowsSize } from './rows.ts'

export interface PackedInit {
  readonly fields: readonly RowField[]
  /** Bytes of rows that may stay in memory. */
  readonly memory: number
  /** Where the file goes when they are more. */
  readonly folder: string
}

const FIRST_BYTES = 1 << 16
/** Rows go to the file in pieces of about this size. */
const PIECE_BYTES = 1 << 22

export class RowPacker {
  readonly #init: PackedInit
  readonly #stride: number
  #bytes: Buffer
  /** In `#bytes`. */
  #used = 0
  #written = 0
  #count = 0
  #file: TemporaryFile | undefined

  constructor(init: PackedInit) {
    this.#init = init
    this.#stride = rowBytes(init.fields)
    this.#bytes = Buffer.alloc(Math.max(this.#stride, Math.min(FIRST_BYTES, init.memory)))
  }

  /** Adds a row: the bytes of each field, in their order. */
  async add(values: readonly Uint8Array[]): Promise<void> {
    if (this.#used + this.#stride > this.#bytes.length) await this.#grow()
    for (const bytes of values) {
      this.#bytes.set(bytes, this.#used)
      this.#used += bytes.length
    }
    this.#count++
  }

  /** @throws DiskFullError, StoreUnwritableError */
  async finish(): Promise<Rows> {
    const held = { fields: this.#init.fields, count: this.#count, bytes: this.#bytes.subarray(0, this.#used) }
    if (this.#file === undefined) return new PackedRows(held, undefined)
    await this.#spill()
    return new PackedRows(held, { temporary: this.#file, reader: await open(this.#file.path, 'r') })
  }

  async discard(): Promise<void> {
    await this.#file?.discard()
  }

  async #grow(): Promise<void> {
    const { memory } = this.#init
    if (this.#file === undefined && this.#bytes.length * 2 <= memory) return this.#resize(this.#bytes.length * 2)
    if (this.#file === undefined) {
      try {
        this.#file = await createTemporary(this.#init.folder, 'rows', 0o600)
      } catch (error) {
        throw await explainDisk(error, this.#init.folder, this.#used)
      }
    }
    await this.#spill()
    if (this.#bytes.length > PIECE_BYTES) this.#bytes = Buffer.alloc(Math.max(PIECE_BYTES, this.#stride))
  }

  #resize(size: number): void {
    const larger = Buffer.alloc(Math.max(size, this.#used + this.#stride))
    this.#bytes.copy(larger, 0, 0, this.#used)
    this.#bytes = larger
  }

  async #spill(): Promise<void> {
    try {
      await writeAll(this.#file!.handle, this.#bytes.subarray(0, this.#used), this.#written)
    } catch (error) {
      throw await explainDisk(error, this.#init.folder, this.#used)
    }
    this.#written += this.#used
    this.#used = 0
  }
}

interface Held {
  readonly fields: readonly RowField[]
  readonly count: number
  /** Of all rows, where there is no file. */
  readonly bytes: Buffer
}

interface RowFile {
  readonly temporary: TemporaryFile
  readonly reader: FileHandle
}

class PackedRows implements Rows {
  readonly fields: readonly RowField[]
  readonly count: number
  readonly size: RowsSize
  readonly #bytes: Buffer
  readonly #file: RowFile | undefined
  readonly #stride: number

  constructor({ fields, count, bytes }: Held, file: RowFile | undefined) {
    this.fields = fields
    this.count = count
    this.#bytes = bytes
    this.#file = file
    this.#stride = rowBytes(fields)
    const all = count * this.#stride
    this.size = { bytes: all, spilled: file === undefined ? 0 : all }
  }

  async take(rows: Uint32Array): Promise<Batch> {
    const targets = this.fields.map((field) => emptyTensor(field, rows.length))
    const views = targets.map(asBytes)
    const sizes = this.fields.map(bytesOf)
    const row = Buffer.alloc(this.#stride)
    for (const [place, wanted] of rows.entries()) {
      const source = this.#file === undefined ? this.#bytes : row
      let at = wanted * this.#stride
      if (this.#file !== undefined) {
        await this.#file.reader.read(row, 0, this.#stride, at)
        at = 0
      }
      for (const [index, size] of sizes.entries()) {
        views[index]!.set(source.subarray(at, at + size), place * size)
        at += size
      }
    }
    return Object.fromEntries(this.fields.map(({ name }, index) => [name, targets[index]!]))
  }

  async close(): Promise<void> {
    await this.#file?.reader.close()
    await this.#file?.temporary.discard()
  }
}
