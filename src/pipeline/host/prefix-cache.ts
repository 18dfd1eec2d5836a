/**
 * KV rows of prompts that were here before, by the names of their runs. A session that begins alike gets a copy of them, so
 * nothing that others do touches it; a run of a prompt is copied out when all its rows are computed.
 */
import { PageStore } from '../prefix/page-store.ts'
import { prefixKeys, RUN_ROWS } from '../prefix/names.ts'
import type { KvCache } from './kv-cache.ts'
import type { OpenControl } from './protocol.ts'

/** Of the bytes for KV: the memory of pages that make room comes back when it is collected, sessions want it at once. */
const SHARE = 0.5

export interface SessionPrefix {
  readonly scope: string
  /** Of the runs of its text that are named. */
  readonly keys: string[]
  /** Runs that are kept, or were found. */
  kept: number
}

/** The caches of a run's parts, one after another. */
type RunRows = readonly Float32Array[]

export class PrefixCache {
  readonly #pages = new PageStore<RunRows>()
  readonly #budget: number

  /** @param kvBytes that sessions and prefixes may take together */
  constructor(kvBytes: number) {
    this.#budget = kvBytes * SHARE
  }

  get bytes(): number {
    return this.#pages.bytes
  }

  /** Room for sessions goes before all that is kept. @param free bytes that sessions leave */
  yieldTo(free: number): void {
    this.#pages.shrink(Math.min(free, this.#budget))
  }

  /** Copies what is here of a text into the empty caches of a session. Returns it, with the rows found. */
  open(
    { scope, names, most }: NonNullable<OpenControl['prefix']>,
    caches: readonly KvCache[],
  ): { readonly prefix: SessionPrefix; readonly rows: number } {
    const keys = prefixKeys(scope, names)
    const wanted = keys.slice(0, most)
    // Without layers there is nothing to be kept, and nothing lacks.
    if (caches.length === 0) return { prefix: { scope, keys, kept: wanted.length }, rows: wanted.length * RUN_ROWS }
    const found = this.#pages.find(wanted)
    for (const cache of caches) cache.reserve(found.length * RUN_ROWS)
    for (const run of found) for (const [part, cache] of caches.entries()) cache.append(run[part]!, RUN_ROWS)
    return { prefix: { scope, keys, kept: found.length }, rows: found.length * RUN_ROWS }
  }

  /** Keeps the runs of a session that are whole. @param free bytes that sessions leave */
  keep(prefix: SessionPrefix, caches: readonly KvCache[], free: number): void {
    const rows = Math.min(...caches.map(({ position }) => position))
    while (prefix.kept < prefix.keys.length && (prefix.kept + 1) * RUN_ROWS <= rows) {
      const run = prefix.kept++
      const [key, before] = [prefix.keys[run]!, prefix.keys[run - 1]]
      if (this.#pages.has(key)) continue
      // It went meanwhile: nobody could find what follows it.
      if (before !== undefined && !this.#pages.has(before)) return
      const copied = caches.map((cache) => cache.read(run * RUN_ROWS, RUN_ROWS))
      const bytes = copied.reduce((sum, { byteLength }) => sum + byteLength, 0)
      if (bytes > Math.min(free, this.#budget)) return
      this.#pages.shrink(Math.min(free, this.#budget) - bytes)
      this.#pages.add(key, before, copied, bytes)
    }
  }

  /** Names of runs behind those that are known: of the tokens that were chosen. */
  more(prefix: SessionPrefix, names: Uint8Array): void {
    prefix.keys.push(...prefixKeys(prefix.scope, names))
  }
}
