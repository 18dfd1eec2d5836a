/**
 * The stages that this peer serves: one stage host a model, loaded with the ranges that it was given, started again
 * when it dies, and within the memory that weft may use.
 */
import { join } from 'node:path'
import type { ModelManifest } from '../models/index.ts'
import { CancelledError, MemoryQuotaError } from './errors.ts'
import { startStageHost } from './host/stage-host.ts'
import type { StageHost } from './host/stage-host.ts'
import type { LoadedControl } from './host/protocol.ts'
import type { StageTable } from './ring/service.ts'
import type { Clock } from '../util/index.ts'

export type BlockRange = readonly [from: number, to: number]

export interface LoadedStage {
  readonly digest: string
  readonly model: string
  readonly from: number
  readonly to: number
  readonly pid: number
  readonly state: 'loading' | 'ready' | 'failed'
}

export interface StagesNeeds {
  readonly clock: Clock
  /** A model that this peer knows, and the file of its manifest. @throws when it is unknown */
  model(digest: string): Promise<{ readonly manifest: ModelManifest; readonly path: string }>
  /** Has the tensors of blocks [from, to) in the store. */
  fetch(manifest: ModelManifest, from: number, to: number, signal?: AbortSignal): Promise<void>
  readonly storeDirectory: string
  readonly cacheDirectory: string
  readonly threads: number
  readonly spin: boolean
  /** Bytes for weights and KV caches together. */
  readonly memory: number
  count(name: string, by?: number): void
  /** The stages have changed: loaded, lost, released. */
  changed(): void
  lost?(model: string, error: Error): void
}

interface Entry {
  readonly manifest: ModelManifest
  readonly path: string
  host: StageHost | null
  ranges: BlockRange[]
  loaded: LoadedControl | null
  state: LoadedStage['state']
  /** Loads follow one another. */
  last: Promise<unknown>
}

export class Stages implements StageTable {
  readonly #needs: StagesNeeds
  readonly #entries = new Map<string, Entry>()
  #stopped = false

  constructor(needs: StagesNeeds) {
    this.#needs = needs
  }

  /** @throws MemoryQuotaError, StageHostError, and what fetching throws */
  async host(digest: string, from: number, to: number): Promise<StageHost> {
    await this.prepare(digest, [[from, to]])
    return this.#entries.get(digest)!.host!
  }

  /** Has these ranges loaded, fetched first where they are not here. */
  async prepare(digest: string, ranges: readonly BlockRange[], signal?: AbortSignal): Promise<void> {
    if (this.#stopped) throw new CancelledError('the peer is stopping')
    const entry = this.#entries.get(digest) ?? (await this.#newEntry(digest))
    const missing = (): BlockRange[] =>
      ranges.filter((range) => entry.host === null || !covered(range, entry.ranges, entry.manifest.blocks.length))
    if (missing().length === 0) return
    const turn = entry.last.then(async () => {
      const wanted = missing()
      if (wanted.length > 0) await this.#load(entry, wanted, signal)
    })
    entry.last = turn.catch(() => undefined)
    await turn
  }

  /** Keeps only `ranges` of a model; nothing at all ends its host. */
  async retain(digest: string, ranges: readonly BlockRange[]): Promise<void> {
    const entry = this.#entries.get(digest)
    if (entry === undefined) return
    const turn = entry.last.then(async () => {
      if (same(ranges, entry.ranges)) return
      const host = entry.host
      entry.host = null
      entry.ranges = []
      await host?.stop()
      if (ranges.length > 0) await this.#load(entry, ranges)
      else this.#entries.delete(digest)
      this.#needs.changed()
    })
    entry.last = turn.catch(() => undefined)
    await turn
  }

  list(): LoadedStage[] {
    const stages: LoadedStage[] = []
    for (const [digest, entry] of this.#entries) {
      for (const [from, to] of entry.ranges) {
        stages.push({ digest, model: entry.manifest.model, from, to, pid: entry.host?.pid ?? 0, state: entry.state })
      }
    }
    return stages
  }

  hosts(): { readonly model: string; readonly host: StageHost }[] {
    return [...this.#entries.values()].flatMap((entry) =>
      entry.host === null ? [] : [{ model: entry.manifest.model, host: entry.host }],
    )
  }

  /** Bytes of weights that loaded ranges take. */
  get weights(): number {
    return this.weightsBeside('')
  }

  /** As `weights`, one model left out. */
  weightsBeside(digest: string): number {
    let sum = 0
    for (const [key, entry] of this.#entries) if (key !== digest) sum += weightBytes(entry.manifest, entry.ranges)
    return sum
  }

  async stop(): Promise<void> {
    this.#stopped = true
    const hosts = this.hosts()
    this.#entries.clear()
    await Promise.all(hosts.map(({ host }) => host.stop()))
  }

  async #newEntry(digest: string): Promise<Entry> {
    const { manifest, path } = await this.#needs.model(digest)
    const known = this.#entries.get(digest)
    if (known !== undefined) return known
    const entry: Entry = {
      manifest,
      path,
      host: null,
      ranges: [],
      loaded: null,
      state: 'loading',
      last: Promise.resolve(),
    }
    this.#entries.set(digest, entry)
    return entry
  }

  async #load(entry: Entry, wanted: readonly BlockRange[], signal?: AbortSignal): Promise<void> {
    const { manifest } = entry
    const ranges = [...(entry.host === null ? [] : entry.ranges), ...wanted]
    const need = this.weights - weightBytes(manifest, entry.ranges) + weightBytes(manifest, ranges)
    if (need > this.#needs.memory) throw new MemoryQuotaError(manifest.model, need, this.#needs.memory)
    entry.state = 'loading'
    for (const [from, to] of wanted) await this.#needs.fetch(manifest, from, to, signal)
    if (this.#stopped) throw new CancelledError('the peer is stopping')
    const host = entry.host ?? this.#start(entry)
    try {
      entry.loaded = await host.load({
        manifestPath: entry.path,
        storeDirectory: this.#needs.storeDirectory,
        cacheDirectory: this.#needs.cacheDirectory,
        ranges: wanted,
        threads: this.#needs.threads,
        spin: this.#needs.spin,
        kvBytes: Math.max(0, this.#needs.memory - need),
      })
      entry.ranges = ranges
      entry.state = 'ready'
      this.#needs.count('stages_loaded')
      if (entry.loaded.packed === 0) this.#needs.count('stages_from_cache')
      if (entry.loaded.prepacked) this.#needs.count('stages_prepacked')
    } catch (error) {
      entry.state = 'failed'
      if (entry.ranges.length === 0) await host.stop()
      throw error
    } finally {
      this.#needs.changed()
    }
  }

  #start(entry: Entry): StageHost {
    const host = startStageHost({ clock: this.#needs.clock, codeCache: join(this.#needs.cacheDirectory, 'code') })
    entry.host = host
    void host.ended.then((error) => {
      if (entry.host !== host) return
      const { ranges } = entry
      entry.host = null
      entry.ranges = []
      if (this.#stopped) return
      this.#needs.lost?.(entry.manifest.model, error)
      this.#needs.changed()
      if (ranges.length > 0) this.#restart(entry, ranges)
    })
    return host
  }

  /** A host that died is started again at once; if that fails, the next request tries anew. */
  #restart(entry: Entry, ranges: readonly BlockRange[]): void {
    this.#needs.count('stage_restarts')
    this.prepare(entry.manifest.digest, ranges).catch(() => undefined)
  }
}

/**
 * Whether loaded ranges make up [from, to) exactly: a range of layers is one graph and cannot be entered in the middle.
 * Embedding and head stand by themselves.
 */
function covered([from, to]: BlockRange, ranges: readonly BlockRange[], last: number): boolean {
  const embedding = from > 0 || ranges.some(([start]) => start === 0)
  const head = to < last || ranges.some(([, end]) => end === last)
  const layers = ranges.map(([start, end]) => [Math.max(start, 1), Math.min(end, last - 1)] as const)
  return embedding && head && tiled(Math.max(from, 1), Math.min(to, last - 1), layers)
}

function tiled(from: number, to: number, layers: readonly BlockRange[]): boolean {
  if (from >= to) return true
  return layers.some(([start, end]) => start === from && end > start && end <= to && tiled(end, to, layers))
}

function same(one: readonly BlockRange[], other: readonly BlockRange[]): boolean {
  const key = (ranges: readonly BlockRange[]): string =>
    [...new Set(ranges.map(([from, to]) => `${from}-${to}`))].sort().join(' ')
  return key(one) === key(other)
}

/** Each range is a graph of its own: blocks that stand in two of them take their memory twice. */
function weightBytes(manifest: ModelManifest, ranges: readonly BlockRange[]): number {
  return ranges.reduce(
    (sum, [from, to]) => sum + manifest.blocks.slice(from, to).reduce((bytes, block) => bytes + block.memory, 0),
    0,
  )
}
