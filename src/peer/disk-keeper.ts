/**
 * Keeps this home within its disk quota: what was used longest ago goes first, and only what another peer has promised
 * to keep. Pinned models, and those that a stage has loaded, stay.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlobRequest } from '../mesh/index.ts'
import { removeStageFiles } from '../models/index.ts'
import type { AnyManifest } from '../models/index.ts'
import { availableBytes } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { DiskQuotaError } from './errors.ts'
import type { HomePaths } from './home.ts'
import type { Pins } from './pins.ts'

/** Of what is free when the peer starts, without `--disk`: the rest is for whoever else uses the disk. */
const DEFAULT_SHARE = 0.8
/** A promise to another peer holds so long: it drops its copy within seconds of it. */
const PROMISE_MS = 60_000
/** Promises that are remembered; more than a model has tensors. */
const MAX_PROMISES = 16_384
/** Asked about at a time: enough room is mostly found among the oldest. */
const ASKED_AT_ONCE = 64

export interface DiskKeeperNeeds {
  readonly clock: Clock
  readonly store: BlobStore
  readonly paths: HomePaths
  readonly pins: Pins
  /** Bytes for the store, cached weights and downloads. */
  readonly quota: number
  readonly count: Telemetry['count']
  readonly log: (fields: object, message: string) => void
  readonly models: () => readonly AnyManifest[]
  /** Digests of models that stages here have loaded or are loading. */
  readonly loaded: () => ReadonlySet<string>
  /** Addresses of these that another peer has promised to keep. */
  readonly askToKeep: (blobs: readonly BlobRequest[]) => Promise<ReadonlySet<string>>
  /** Blobs have gone. */
  readonly changed: () => void
}

export async function defaultQuota(store: BlobStore, paths: HomePaths): Promise<number> {
  return (await homeUsage(store, paths)) + Math.floor(DEFAULT_SHARE * (await availableBytes(paths.store)))
}

/** Bytes that weft has on the disk for models. */
async function homeUsage(store: BlobStore, { cache, downloads }: HomePaths): Promise<number> {
  return (await store.usage()) + (await folderBytes(cache)) + (await folderBytes(downloads))
}

export class DiskKeeper {
  readonly #needs: DiskKeeperNeeds
  readonly #promised = new Map<string, number>()
  readonly #dropping = new Set<string>()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(needs: DiskKeeperNeeds) {
    this.#needs = needs
  }

  get quota(): number {
    return this.#needs.quota
  }

  usage(): Promise<number> {
    return homeUsage(this.#needs.store, this.#needs.paths)
  }

  /** Another peer drops its copy of this. */
  promise(address: string): boolean {
    if (this.#dropping.has(address)) return false
    this.#promised.delete(address)
    this.#promised.set(address, this.#needs.clock.now())
    if (this.#promised.size > MAX_PROMISES) this.#promised.delete(this.#promised.keys().next().value!)
    return true
  }

  /** Makes room for `bytes` more, beside `keep`. @throws DiskQuotaError when there is none to be made */
  makeRoom(bytes: number, keep: ReadonlySet<string> = new Set()): Promise<void> {
    const run = this.#turn.then(() => this.#makeRoom(bytes, keep))
    this.#turn = run.catch(() => undefined)
    return run
  }

  /** Blobs of the model that nobody else has promised to keep, and no other model here needs: its last copies. */
  async lastCopies(manifest: AnyManifest): Promise<BlobRequest[]> {
    const here: BlobRequest[] = []
    for (const blob of tensorsOf(manifest)) if (await this.#needs.store.has(blob.address)) here.push(blob)
    const kept = await this.#needs.askToKeep(here)
    const shared = this.#usedBy((other) => other.digest !== manifest.digest)
    return here.filter(({ address }) => !kept.has(address) && !shared.has(address))
  }

  async #makeRoom(bytes: number, keep: ReadonlySet<string>): Promise<void> {
    const { quota } = this.#needs
    let left = (await this.usage()) + bytes - quota
    if (left <= 0) return
    left -= await this.#dropCaches(left)
    if (left > 0) left -= await this.#evict(left, keep)
    if (left > 0) throw new DiskQuotaError(quota, quota - bytes + left, bytes)
  }

  /** Packed weights of models that are not loaded: they can be made again from what is here. */
  async #dropCaches(wanted: number): Promise<number> {
    const { models, loaded, paths } = this.#needs
    const before = await folderBytes(paths.cache)
    let freed = 0
    for (const { digest } of models()) {
      if (freed >= wanted) break
      if (loaded().has(digest)) continue
      await removeStageFiles(paths.cache, digest)
      freed = before - (await folderBytes(paths.cache))
    }
    return freed
  }

  async #evict(wanted: number, keep: ReadonlySet<string>): Promise<number> {
    const { askToKeep, changed, count, log, store } = this.#needs
    const candidates = await this.#candidates(keep)
    let freed = 0
    for (let at = 0; at < candidates.length && freed < wanted; at += ASKED_AT_ONCE) {
      const batch = candidates.slice(at, at + ASKED_AT_ONCE)
      // Two peers that want to drop the same ask each other, and both are told no.
      for (const { address } of batch) this.#dropping.add(address)
      try {
        const kept = await askToKeep(batch)
        for (const { address, bytes } of batch) {
          if (freed >= wanted || !kept.has(address) || this.#isPromised(address)) continue
          await store.remove(address)
          freed += bytes
          count('blobs_evicted')
        }
      } finally {
        for (const { address } of batch) this.#dropping.delete(address)
      }
    }
    if (freed > 0) log({ bytes: freed }, 'tensors that other peers hold were removed to keep to the disk quota')
    if (freed > 0) changed()
    return freed
  }

  /** Tensors that may go, those used longest ago first. */
  async #candidates(keep: ReadonlySet<string>): Promise<BlobRequest[]> {
    const { loaded, pins, store } = this.#needs
    const needed = this.#usedBy(({ digest }) => pins.has(digest) || loaded().has(digest))
    const known = this.#usedBy(() => true)
    const found: { address: string; bytes: number; used: number }[] = []
    for await (const blob of store.list()) {
      const { address } = blob
      if (known.has(address) && !needed.has(address) && !keep.has(address) && !this.#isPromised(address))
        found.push(blob)
    }
    return found.sort((left, right) => left.used - right.used)
  }

  #usedBy(is: (manifest: AnyManifest) => boolean): ReadonlySet<string> {
    return new Set(
      this.#needs
        .models()
        .filter(is)
        .flatMap(tensorsOf)
        .map(({ address }) => address),
    )
  }

  #isPromised(address: string): boolean {
    return this.#needs.clock.now() - (this.#promised.get(address) ?? -Infinity) < PROMISE_MS
  }
}

/** Once each. A tokenizer is small, and who has a manifest needs it to tell what a text costs: it stays. */
function tensorsOf({ blocks }: AnyManifest): BlobRequest[] {
  const all = blocks.flatMap(({ tensors }) =>
    tensors.map(({ address, bytes }) => [address, { address, bytes }] as const),
  )
  return [...new Map(all).values()]
}

async function folderBytes(folder: string): Promise<number> {
  let sum = 0
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])
  for (const entry of entries) {
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name)).catch(() => null))?.size ?? 0
  }
  return sum
}
