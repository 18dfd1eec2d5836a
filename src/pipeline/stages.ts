/**
 * The stages that this peer serves: one stage host a model, loaded with the ranges that it was given, started again
 * when it dies, and within the memory that weft may use.
 */
import { join } from 'node:path'
import { checkStageFiles } from '../models/index.ts'
import type { ModelManifest, StageCheckNeeds } from '../models/index.ts'
import { plainKernel } from '../onnx/index.ts'
import { createBlobStore } from '../store/index.ts'
import { CancelledError, MemoryQuotaError, StageMemoryError } from './errors.ts'
import { StageHostLostError } from './host/host-errors.ts'
import { MemoryEnds } from './memory-ends.ts'
import { isDamage, mend } from './mending.ts'
import { same, servesRange, weightBytes } from './stage-ranges.ts'
import type { BlockRange } from './stage-ranges.ts'
import type { SessionAdapter } from './session-adapter.ts'
import { startStageHost } from './host/stage-host.ts'
import type { RunHostProcess } from './host/host-process.ts'
import type { StageHost } from './host/stage-host.ts'
import type { LoadControl, LoadedControl } from './host/protocol.ts'
import type { StageTable } from './ring/new-hop.ts'
import type { Clock } from '../util/index.ts'

export interface LoadedStage {
  readonly digest: string
  readonly model: string
  readonly from: number
  readonly to: number
  readonly pid: number
  readonly state: 'loading' | 'ready' | 'failed'
  /** It failed for want of memory. */
  readonly short?: boolean
}

export interface StagesNeeds {
  readonly clock: Clock
  /** A model that this peer knows, and the file of its manifest. @throws when it is unknown */
  model(digest: string): Promise<{ readonly manifest: ModelManifest; readonly path: string }>
  /** Has the bytes of an adapter in the store. @returns its file */
  adapter?(adapter: SessionAdapter, origin: string): Promise<string>
  /** Has the tensors of blocks [from, to) in the store. */
  fetch(manifest: ModelManifest, from: number, to: number, signal?: AbortSignal): Promise<void>
  /** Has the tokenizer in the store. @default it is there, or answers have no format */
  text?(manifest: ModelManifest): Promise<void>
  readonly storeDirectory: string
  readonly cacheDirectory: string
  readonly threads: number
  /** Bytes for weights and KV caches together. */
  readonly memory: number
  /**
   * Others use that memory too: they give back what they only keep, down to `most` bytes.
   * @returns what they hold then. @default nobody does
   */
  others?(most: number): number
  /** @default a child process */
  readonly runHost?: RunHostProcess | undefined
  count(name: string, by?: number): void
  /** Stages of a model have been loaded, weights fetched, in so many milliseconds. */
  loaded?(model: string, milliseconds: number): void
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
  /** On their way; what is loaded serves meanwhile. */
  loading: readonly BlockRange[]
  failed: readonly BlockRange[]
  /** For want of memory. */
  short: boolean
  /** Loads follow one another. */
  last: Promise<unknown>
}

export class Stages implements StageTable {
  readonly #needs: StagesNeeds
  readonly #entries = new Map<string, Entry>()
  readonly #memoryEnds: MemoryEnds
  #stopped = false

  constructor(needs: StagesNeeds) {
    this.#needs = needs
    this.#memoryEnds = new MemoryEnds(needs.clock)
  }

  /** @throws MemoryQuotaError, StageMemoryError, StageHostError, and what fetching throws */
  async host(digest: string, from: number, to: number): Promise<StageHost> {
    for (;;) {
      await this.prepare(digest, [[from, to]])
      // A change of the placement may have ended it in the meantime.
      const host = this.#entries.get(digest)?.host
      if (host !== undefined && host !== null) return host
    }
  }

  async text(digest: string): Promise<void> {
    await this.#needs.text?.((await this.#needs.model(digest)).manifest)
  }

  /** @throws CancelledError where this peer serves no adapters, and what fetching throws */
  adapter(adapter: SessionAdapter, origin: string): Promise<string> {
    return this.#needs.adapter?.(adapter, origin) ?? Promise.reject(new CancelledError('no adapters are served here'))
  }

  kernel(digest: string): string | undefined {
    const loaded = this.#entries.get(digest)?.loaded
    return loaded?.prepacked === false ? plainKernel(loaded.kernel) : loaded?.kernel
  }

  /** Has these ranges loaded, fetched first where they are not here. */
  async prepare(digest: string, ranges: readonly BlockRange[], signal?: AbortSignal): Promise<void> {
    if (this.#stopped) throw new CancelledError('the peer is stopping')
    const entry = this.#entries.get(digest) ?? (await this.#newEntry(digest))
    const missing = (): BlockRange[] =>
      ranges.filter((range) => entry.host === null || !servesRange(range, entry.ranges, entry.manifest.blocks.length))
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
    this.#memoryEnds.wanted(digest, ranges)
    const entry = this.#entries.get(digest)
    if (entry === undefined) return
    const turn = entry.last.then(async () => {
      if (same(ranges, entry.ranges)) return
      const host = entry.host
      entry.host = null
      entry.ranges = []
      entry.failed = []
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
      const add = (ranges: readonly BlockRange[], state: LoadedStage['state']): void => {
        const { host, manifest } = entry
        for (const [from, to] of ranges)
          stages.push({ digest, model: manifest.model, from, to, pid: host?.pid ?? 0, state, ...short(entry, state) })
      }
      add(entry.ranges, 'ready')
      add(entry.loading, 'loading')
      add(entry.failed, 'failed')
    }
    return stages
  }

  /** Of the models that are loaded, or about to be. */
  digests(): string[] {
    return [...this.#entries.keys()]
  }

  /** `isPlain`: its weights could not be pre-packed. */
  hosts(): { digest: string; kernel: string | null; isPlain: boolean; host: StageHost }[] {
    return [...this.#entries].flatMap(([digest, { host, loaded }]) =>
      host === null ? [] : [{ digest, kernel: loaded?.kernel ?? null, isPlain: loaded?.prepacked === false, host }],
    )
  }

  /** Bytes of weights that loaded ranges take. */
  get weights(): number {
    return this.weightsBeside('')
  }

  /** As `weights`, one model left out. */
  weightsBeside(digest: string): number {
    let sum = 0
    for (const [key, entry] of this.#entries) {
      if (key !== digest) sum += weightBytes(entry.manifest, entry.ranges, isMapped(entry))
    }
    return sum
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#memoryEnds.stop(new CancelledError('the peer is stopping'))
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
      loading: [],
      failed: [],
      short: false,
      last: Promise.resolve(),
    }
    this.#entries.set(digest, entry)
    return entry
  }

  async #load(entry: Entry, wanted: readonly BlockRange[], signal?: AbortSignal): Promise<void> {
    entry.failed = entry.failed.filter((range) => !wanted.some((other) => same([range], [other])))
    try {
      await this.#loadRanges(entry, wanted, signal)
    } catch (error) {
      if (!this.#stopped && !(error instanceof CancelledError)) entry.failed = [...entry.failed, ...wanted]
      entry.short = error instanceof MemoryQuotaError || error instanceof StageMemoryError
      throw error
    } finally {
      entry.loading = []
      this.#needs.changed()
    }
  }

  async #loadRanges(entry: Entry, wanted: readonly BlockRange[], signal?: AbortSignal): Promise<void> {
    const { manifest } = entry
    const ranges = [...(entry.host === null ? [] : entry.ranges), ...wanted]
    const own = this.weightsBeside(manifest.digest) + weightBytes(manifest, ranges, isMapped(entry))
    const need = own + (this.#needs.others?.(Math.max(0, this.#needs.memory - own)) ?? 0)
    if (need > this.#needs.memory) throw new MemoryQuotaError(manifest.model, need, this.#needs.memory)
    entry.loading = wanted
    this.#needs.changed()
    for (const [from, to] of wanted) await this.#needs.fetch(manifest, from, to, signal)
    if (entry.host === null) await this.#memoryEnds.pause(manifest.digest, manifest.model, signal)
    if (this.#stopped) throw new CancelledError('the peer is stopping')
    const host = entry.host ?? this.#start(entry)
    const began = this.#needs.clock.now()
    try {
      const load = async (): Promise<LoadedControl> => {
        // While the host's program starts: what it will map is read through, and no time is lost by it.
        const damaged = await checkStageFiles(await this.#files(), manifest, wanted, signal)
        if (damaged.length > 0) this.#needs.count('weights_damaged', damaged.length)
        return host.load(this.#control(entry, wanted, need))
      }
      entry.loaded = await load().catch(async (error: unknown) => {
        if (!isDamage(error)) throw error
        const { store } = await this.#files()
        await mend({ ...this.#needs, store }, manifest, wanted, signal)
        return load()
      })
      entry.ranges = ranges
      this.#needs.count('stages_loaded')
      this.#needs.loaded?.(manifest.model, this.#needs.clock.now() - began)
      if (entry.loaded.packed === 0) this.#needs.count('stages_from_cache')
      if (entry.loaded.prepacked) this.#needs.count('stages_prepacked')
    } catch (error) {
      if (entry.ranges.length > 0) throw error
      // One that has ended tells of it itself.
      if (!(error instanceof StageHostLostError)) this.#memoryEnds.failed(manifest.digest, error)
      await host.stop()
      throw error
    }
  }

  #control(entry: Entry, ranges: readonly BlockRange[], weights: number): LoadControl {
    const { storeDirectory, cacheDirectory, threads, memory } = this.#needs
    const kvBytes = Math.max(0, memory - weights)
    return { manifestPath: entry.path, storeDirectory, cacheDirectory, ranges, threads, kvBytes }
  }

  async #files(): Promise<StageCheckNeeds> {
    const { storeDirectory: directory, cacheDirectory } = this.#needs
    const store = await createBlobStore({ directory, readOnly: true })
    return { store, directory: cacheDirectory, verified: () => this.#needs.count('weights_verified') }
  }

  #start(entry: Entry): StageHost {
    const { cacheDirectory, clock, runHost } = this.#needs
    const host = startStageHost({ clock, codeCache: join(cacheDirectory, 'code') }, runHost)
    entry.host = host
    void host.ended.then((error) => {
      if (entry.host !== host) return
      const { ranges } = entry
      entry.host = null
      entry.ranges = []
      if (this.#stopped) return
      this.#memoryEnds.failed(entry.manifest.digest, error)
      this.#needs.lost?.(entry.manifest.model, error)
      this.#needs.changed()
      if (ranges.length > 0) this.#restart(entry, ranges)
    })
    return host
  }

  /** A host that died is started again, at once where it was not for lack of memory; if that fails, the next request tries anew. */
  #restart(entry: Entry, ranges: readonly BlockRange[]): void {
    this.#needs.count('stage_restarts')
    this.prepare(entry.manifest.digest, ranges).catch(() => undefined)
  }
}

/** Until a host says otherwise, its weights are pre-packed, and graphs share them. */
function isMapped(entry: Entry): boolean {
  return entry.loaded?.prepacked !== false
}

function short(entry: Entry, state: LoadedStage['state']): Pick<LoadedStage, 'short'> {
  return state === 'failed' && entry.short ? { short: true } : {}
}
