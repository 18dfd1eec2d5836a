/** The external file of a graph's weights: written once, front to back, each tensor at a page's start. */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { ElementType, StoredTensor } from './graph.ts'

/** ONNX Runtime maps external data where it lies at a multiple of the page size. */
export const WEIGHT_ALIGNMENT = 4096

export class WeightFile {
  readonly #handle: FileHandle
  readonly #name: string
  #offset = 0

  private constructor(handle: FileHandle, name: string) {
    this.#handle = handle
    this.#name = name
  }

  /** @param name what graphs call the file once it is in its place. */
  static async create(path: string, name: string): Promise<WeightFile> {
    return new WeightFile(await open(path, 'w', 0o600), name)
  }

  get bytes(): number {
    return this.#offset
  }

  /** Writes a tensor, whole or in pieces, each of which is needed until the next is asked for, and says where it lies. `file` is relative to the graph's own folder. */
  async append(
    type: ElementType,
    dims: readonly number[],
    values: ArrayBufferView | Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>,
  ): Promise<StoredTensor> {
    const offset = Math.ceil(this.#offset / WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT
    let end = offset
    for await (const piece of ArrayBuffer.isView(values) ? [values] : values) {
      await this.#write(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength), end)
      end += piece.byteLength
    }
    this.#offset = end
    return { type, dims, file: this.#name, offset, length: end - offset }
  }

  async #write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, offset + done)
      done += bytesWritten
    }
  }

  /** @param durable all bytes are on the disk when this returns, not only on their way */
  async close(durable = true): Promise<void> {
    if (durable) await this.#handle.sync()
    await this.#handle.close()
  }

  async abandon(): Promise<void> {
    await this.#handle.close()
  }
}

/** Where packed tensors go: a file, or memory. */
export type WeightSink = Pick<WeightFile, 'append'>
