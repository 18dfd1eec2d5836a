/** The training hosts of a peer: one a model, for all sessions on it, started when the first opens and ended a while after the last. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelManifest } from '../../models/index.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import { MemoryQuotaError } from '../errors.ts'
import { TrainHost } from './host/train-host.ts'

/** The next run, or the same one over another route, finds its weights loaded. */
const IDLE_MS = 30_000

export interface TrainHostsNeeds {
  readonly clock: Clock
  readonly codeCache: string
  readonly storeDirectory: string
  readonly threads: number
  /** Bytes that weft may use, and those that are taken. */
  readonly memory: number
  taken(): number
  model(digest: string): Promise<{ readonly manifest: ModelManifest; readonly path: string }>
  fetch(manifest: ModelManifest, from: number, to: number): Promise<void>
  count(name: string, by?: number): void
}

interface Entry {
  readonly host: Promise<TrainHost>
  users: number
  idle: CancelTimer | undefined
}

export interface LentTrainHost {
  readonly host: TrainHost
  readonly manifest: ModelManifest
  readonly done: () => void
}

export class TrainHosts {
  readonly #needs: TrainHostsNeeds
  readonly #entries = new Map<string, Entry>()

  constructor(needs: TrainHostsNeeds) {
    this.#needs = needs
  }

  /** Of a model, with the tensors of blocks [from, to) here. @throws MemoryQuotaError, StageHostLostError, what fetching throws */
  async lend(digest: string, from: number, to: number): Promise<LentTrainHost> {
    const { manifest, path } = await this.#needs.model(digest)
    const need = frozenBytes(manifest, from, to) + this.#needs.taken()
    if (need > this.#needs.memory) throw new MemoryQuotaError(manifest.model, need, this.#needs.memory)
    await this.#needs.fetch(manifest, from, to)
    const entry = this.#entries.get(digest) ?? this.#start(digest, path)
    entry.idle?.()
    entry.users++
    let isLent = true
    const done = (): void => {
      if (!isLent) return
      isLent = false
      if (--entry.users === 0) entry.idle = this.#needs.clock.after(IDLE_MS, () => void this.#end(digest, entry))
    }
    try {
      return { host: await entry.host, manifest, done }
    } catch (error) {
      done()
      throw error
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#entries].map(([digest, entry]) => this.#end(digest, entry)))
  }

  #start(digest: string, path: string): Entry {
    const entry: Entry = { host: this.#loaded(path), users: 0, idle: undefined }
    this.#entries.set(digest, entry)
    const forget = (): void => {
      if (this.#entries.get(digest) === entry) this.#entries.delete(digest)
    }
    entry.host.then((host) => host.ended.then(forget), forget)
    return entry
  }

  async #loaded(manifestPath: string): Promise<TrainHost> {
    const { clock, codeCache, storeDirectory, threads } = this.#needs
    const folder = await mkdtemp(join(tmpdir(), 'weft-train-'))
    const host = new TrainHost({ clock, codeCache })
    void host.ended.then(() => rm(folder, { recursive: true, force: true }))
    await host.load({ manifestPath, storeDirectory, folder, threads })
    this.#needs.count('training_hosts')
    return host
  }

  async #end(digest: string, entry: Entry): Promise<void> {
    if (this.#entries.get(digest) === entry) this.#entries.delete(digest)
    entry.idle?.()
    await entry.host.then(
      (host) => host.stop(),
      () => undefined,
    )
  }
}

/** A byte a weight, and a scale for each 32. */
function frozenBytes({ blocks }: ModelManifest, from: number, to: number): number {
  const own = blocks.slice(Math.max(1, from), to).flatMap(({ tensors }) => tensors)
  const elements = own.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
  return Math.ceil((elements * 9) / 8)
}
