/** Adapters that sessions have, loaded: those of one adapter share it, and the next finds it for a while. */
import { readFile } from 'node:fs/promises'
import { openSealed, partSize } from '../../models/index.ts'
import type { Adapter, DecoderShape } from '../../models/index.ts'

/** Kept beside those that sessions hold: two of rank 16 beside all matrices of 30 layers that are 4,096 wide. */
const MOST_BYTES = 384 << 20

export interface CachedAdapter {
  /** Of equal ids the values are equal. */
  readonly id: string
  readonly adapter: Adapter
}

interface Kept {
  readonly loading: Promise<CachedAdapter>
  /** 0 while it is loaded. */
  bytes: number
}

export class AdapterCache {
  readonly #shape: DecoderShape
  readonly #most: number
  /** Those that were asked for longest ago come first. */
  readonly #kept = new Map<string, Kept>()

  /** @param most bytes that are kept */
  constructor(shape: DecoderShape, most = MOST_BYTES) {
    this.#shape = shape
    this.#most = most
  }

  /** Bytes of what is kept. */
  get bytes(): number {
    return this.#kept.values().reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /**
   * Layers [from, to), from 0, of a file that the peer has checked; a soft prompt whole.
   * @throws AdapterFileError, ModelFileError
   */
  of(path: string, from: number, to: number): Promise<CachedAdapter> {
    const key = `${from}-${to} ${path}`
    const kept = this.#kept.get(key) ?? { loading: this.#load(path, from, to), bytes: 0 }
    const isNew = !this.#kept.delete(key)
    this.#kept.set(key, kept)
    if (isNew)
      kept.loading.then(
        ({ adapter }) => this.#loaded(kept, this.#bytesOf(adapter, to - from)),
        () => this.#kept.delete(key),
      )
    return kept.loading
  }

  async #load(path: string, from: number, to: number): Promise<CachedAdapter> {
    return { id: path, adapter: await openSealed(await readFile(path), this.#shape, path, from, to) }
  }

  #loaded(kept: Kept, bytes: number): void {
    kept.bytes = bytes
    for (const [oldest, each] of this.#kept) {
      if (this.bytes <= this.#most) return
      if (each.bytes > 0) this.#kept.delete(oldest)
    }
  }

  #bytesOf(adapter: Adapter, layers: number): number {
    if (adapter.kind === 'prompt') return adapter.rows.byteLength
    const sizes = adapter.parts.map((part) => partSize(this.#shape, part))
    return 4 * adapter.rank * layers * sizes.reduce((sum, { inputs, outputs }) => sum + inputs + outputs, 0)
  }
}
