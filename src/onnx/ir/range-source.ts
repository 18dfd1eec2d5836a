/** Reads ranges of files, keeping the file open that was read last: neighbours usually lie in the same one. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { TensorReadError } from './errors.ts'
import type { TensorBytes } from './types.ts'

type Range = Extract<TensorBytes, { readonly kind: 'range' }>

/** A piece of a copy: large enough to keep a disk busy, small enough to be nothing beside a model. */
export const PIECE_BYTES = 2 ** 20

// The path was resolved when the model was read: a link there now is not what was checked.
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0)

export class RangeSource {
  #path: string | undefined
  #handle: FileHandle | undefined

  /** `into.length` bytes of the range from `from` on. @throws TensorReadError */
  async read(range: Range, from: number, into: Uint8Array): Promise<void> {
    try {
      const handle = await this.#open(range.path)
      for (let done = 0; done < into.length;) {
        const { bytesRead } = await handle.read(into, done, into.length - done, range.offset + from + done)
        if (bytesRead === 0) throw new Error(`it ends at byte ${range.offset + from + done}`)
        done += bytesRead
      }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new TensorReadError(range.path, why, cause)
    }
  }

  /** The range piece by piece; a piece is good until the next one is asked for. @throws TensorReadError */
  async *pieces(range: Range): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(Math.min(PIECE_BYTES, range.length))
    for (let at = 0; at < range.length; at += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, range.length - at))
      await this.read(range, at, piece)
      yield piece
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    this.#path = undefined
    await handle?.close()
  }

  async #open(path: string): Promise<FileHandle> {
    if (this.#handle !== undefined && this.#path === path) return this.#handle
    await this.close()
    const handle = await open(path, FLAGS)
    this.#handle = handle
    this.#path = path
    if (!(await handle.stat()).isFile()) throw new Error('it is no regular file')
    return handle
  }
}
