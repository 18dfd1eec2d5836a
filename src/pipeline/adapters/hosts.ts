/** The training hosts of a peer: one a model, for all sessions on it, started when the first opens and ended a while after the last. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelManifest } from '../../models/index.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import { CancelledError, MemoryQuotaError } from '../errors.ts'
import type { RunHostProcess } from '../host/host-process.ts'
import { MemoryEnds } from '../memory-ends.ts'
import { TrainingRefusedError } from './errors.ts'
import { TrainHost } from './host/train-host.ts'

/** The next run, or the same one over another route, finds its weights loaded. */
const IDLE_MS = 30_000

export interface TrainHostsNeeds {
  readonly clock: Clock
  readonly codeCache: string
  readonly storeDirectory: string
  readonly threads: number
  /** Bytes that weft may use. */
  readonly memory: number
  /** Those that others take. What they only keep they give back, down to `most`. */
  taken(most: number): number
  model(digest: string): Promise<{ readonly manifest: ModelManifest; readonly path: string }>
  fetch(manifest: ModelManifest, from: number, to: number): Promise<void>
  /** @default a child process */
  readonly runHost?: RunHostProcess | undefined
  count(name: string, by?: number): void
}

interface Entry {
  readonly host: Promise<TrainHost>
  readonly manifest: ModelManifest
  /** Blocks whose weights it has, or is about to. */
  readonly blocks: Set<number>
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
  /** By model, of which there is one host. */
  readonly #memoryEnds: MemoryEnds
  /** Of sessions, beside the weights that they share. */
  #held = 0

  constructor(needs: TrainHostsNeeds) {
    this.#needs = needs
    this.#memoryEnds = new MemoryEnds(needs.clock)
  }

  /** Of a model, with the tensors of blocks [from, to) here. @throws TrainingRefusedError, MemoryQuotaError, StageMemoryError, StageHostLostError, what fetching throws */
  async lend(digest: string, from: number, to: number): Promise<LentTrainHost> {
    const { manifest, path } = await this.#needs.model(digest)
    if (from < 0 || from >= to || to > manifest.blocks.length)
      throw new TrainingRefusedError(`blocks ${from} to ${to} are not of ${manifest.model}`, { from, to })
    const wanted = Array.from({ length: to - from }, (_, at) => from + at)
    const own = new Set([...(this.#entries.get(digest)?.blocks ?? []), ...wanted])
    this.#check(manifest, frozenBytes(manifest, own) + this.#frozen(digest) + this.#held)
    // Counted from here on: another that asks meanwhile finds this memory taken.
    const entry = this.#entries.get(digest) ?? this.#start(digest, manifest, path)
    for (const block of wanted) entry.blocks.add(block)
    entry.idle?.()
    entry.users++
    let isLent = true
    const done = (): void => {
      if (!isLent) return
      isLent = false
      if (--entry.users === 0) entry.idle = this.#needs.clock.after(IDLE_MS, () => void this.#end(digest, entry))
    }
    try {
      await this.#needs.fetch(manifest, from, to)
      return { host: await entry.host, manifest, done }
    } catch (error) {
      done()
      throw error
    }
  }

  /** Bytes that sessions hold, beside the weights that they share. */
  get held(): number {
    return this.#held
  }

  /** Memory of a session, counted until it is given back. @throws MemoryQuotaError */
  hold(manifest: ModelManifest, bytes: number): () => void {
    this.#check(manifest, this.#frozen() + this.#held + bytes)
    this.#held += bytes
    let isHeld = true
    return () => {
      if (isHeld) this.#held -= bytes
      isHeld = false
    }
  }

  async stop(): Promise<void> {
    this.#memoryEnds.stop(new CancelledError('the peer is stopping'))
    await Promise.all([...this.#entries].map(([digest, entry]) => this.#end(digest, entry)))
  }

  #check({ model }: ModelManifest, ours: number): void {
    const need = ours + this.#needs.taken(this.#needs.memory - ours)
    if (need > this.#needs.memory) throw new MemoryQuotaError(model, need, this.#needs.memory)
  }

  /** Weights of all models that train here, but one. */
  #frozen(but?: string): number {
    const others = [...this.#entries].filter(([digest]) => digest !== but)
    return others.reduce((sum, [, { manifest, blocks }]) => sum + frozenBytes(manifest, blocks), 0)
  }

  #start(digest: string, manifest: ModelManifest, path: string): Entry {
    const entry: Entry = { host: this.#loaded(manifest, path), manifest, blocks: new Set(), users: 0, idle: undefined }
    this.#entries.set(digest, entry)
    const forget = (error: unknown): void => {
      this.#memoryEnds.failed(digest, error)
      if (this.#entries.get(digest) === entry) this.#entries.delete(digest)
    }
    entry.host.then((host) => host.ended.then(forget), forget)
    return entry
  }

  /** Not at once after one that ended for lack of memory. */
  async #loaded({ digest, model }: ModelManifest, manifestPath: string): Promise<TrainHost> {
    const { clock, codeCache, storeDirectory, threads, runHost } = this.#needs
    await this.#memoryEnds.pause(digest, model)
    const folder = await mkdtemp(join(tmpdir(), 'weft-train-'))
    const host = new TrainHost({ clock, codeCache }, runHost)
    host.ended.then(() => rm(folder, { recursive: true, force: true })).catch(() => undefined)
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
function frozenBytes({ blocks }: ModelManifest, held: ReadonlySet<number>): number {
  const own = blocks.flatMap(({ tensors }, block) => (block > 0 && held.has(block) ? tensors : []))
  const elements = own.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
  return Math.ceil((elements * 9) / 8)
}
