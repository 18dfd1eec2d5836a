/** The parts of graphs that this peer serves for others: built from skeleton and weights, loaded, kept for a while. */
import { createHash } from 'node:crypto'
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StageTask } from '../../../models/index.ts'
import type { CancelTimer, Clock } from '../../../util/index.ts'
import { MemoryQuotaError } from '../../errors.ts'
import type { LoadedStage } from '../../stages.ts'
import { FlowRefusedError } from '../errors.ts'
import { startGraphHost } from '../host/graph-host.ts'
import type { GraphHost } from '../host/graph-host.ts'
import { runOnFile } from '../prepare/child.ts'
import type { FlowOpen } from './protocol.ts'
import type { GraphStageTable, LentHost } from './service.ts'

/** A host that nobody needs is kept for the next request. */
const IDLE_MS = 60_000
/** Each is a process. */
const MAX_HOSTS = 64

export interface GraphStagesNeeds {
  readonly clock: Clock
  readonly cache: string
  readonly codeCache: string
  readonly storeDirectory: string
  readonly threads: number
  /** Bytes for weights. */
  readonly memory: number
  /** Has these weights of a model in the store. @throws when no peer has them */
  readonly fetch: (
    digest: string,
    blobs: readonly { readonly address: string; readonly bytes: number }[],
  ) => Promise<void>
  readonly count: (name: string, by?: number) => void
  /** Name and number of blocks of a model that is known here. */
  readonly model: (digest: string) => { readonly model: string; readonly blocks: number } | undefined
  /** Whether these blocks are this peer's by a placement that stands: their host is kept. */
  readonly isPlaced: (digest: string, blocks: readonly [from: number, to: number]) => boolean
  /** Hosts were loaded, or have ended. */
  readonly changed: () => void
}

interface Entry {
  readonly digest: string
  readonly blocks: readonly [from: number, to: number]
  readonly bytes: number
  readonly host: Promise<GraphHost>
  loaded: GraphHost | null
  users: number
  /** A placement gave it to this peer when that was last asked while nobody used it, or since. */
  placed: boolean
  idle: CancelTimer | undefined
}

export class GraphStages implements GraphStageTable {
  readonly #needs: GraphStagesNeeds
  readonly #entries = new Map<string, Entry>()

  constructor(needs: GraphStagesNeeds) {
    this.#needs = needs
  }

  /** @throws MemoryQuotaError, what fetching, building and loading throw */
  async open(open: FlowOpen, skeleton: Uint8Array): Promise<LentHost> {
    const key = createHash('sha256')
      .update(skeleton)
      .update(JSON.stringify([open.weights, open.optimization]))
      .digest('hex')
    const entry = this.#entries.get(key) ?? this.#begin(key, open, skeleton)
    entry.users++
    entry.idle?.()
    entry.idle = undefined
    try {
      return { host: await entry.host, done: once(() => this.#leave(key, entry)) }
    } catch (error) {
      this.#leave(key, entry)
      throw error
    }
  }

  /** As the peers that open them say which blocks they are, of models that are known here. */
  list(): LoadedStage[] {
    return [...this.#entries.values()].flatMap(({ digest, blocks: [from, end], loaded }) => {
      const known = this.#needs.model(digest)
      const to = Math.min(end, known?.blocks ?? 0)
      if (known === undefined || from >= to) return []
      return {
        digest,
        model: known.model,
        from,
        to,
        pid: loaded?.pid ?? 0,
        state: loaded === null ? 'loading' : 'ready',
      }
    })
  }

  hosts(): { readonly host: GraphHost }[] {
    return [...this.#entries.values()].flatMap(({ loaded }) => (loaded === null ? [] : { host: loaded }))
  }

  /** The placements have changed: what they give to this peer is kept, what they gave ends. */
  async reconcile(): Promise<void> {
    const ends: Promise<void>[] = []
    const kept = new Set<string>()
    for (const [key, entry] of [...this.#entries].toReversed()) {
      const isPlaced = this.#isPlaced(entry)
      entry.placed ||= isPlaced
      if (entry.users > 0 || entry.loaded === null) continue
      const place = placeOf(entry)
      if (!isPlaced) {
        if (entry.idle === undefined) ends.push(this.#end(key, entry))
      } else if (kept.has(place)) this.#keepAWhile(key, entry)
      else {
        kept.add(place)
        entry.idle?.()
        entry.idle = undefined
      }
    }
    await Promise.all(ends)
  }

  /** Ends the hosts of a model that no request needs. */
  async release(digest: string): Promise<void> {
    const idle = [...this.#entries].filter(([, entry]) => entry.digest === digest && entry.users === 0)
    await Promise.all(idle.map(([key, entry]) => this.#end(key, entry)))
  }

  async stop(): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    for (const { idle } of entries) idle?.()
    await Promise.all(entries.map(({ host }) => host.then((one) => one.stop()).catch(() => undefined)))
  }

  #begin(key: string, open: FlowOpen, skeleton: Uint8Array): Entry {
    const bytes = skeleton.length + open.weights.reduce((sum, weight) => sum + weight[3], 0)
    this.#makeRoom(open, bytes)
    const { digest, blocks } = open
    const host = this.#start(key, open, skeleton)
    const entry: Entry = { digest, blocks, bytes, host, loaded: null, users: 0, placed: false, idle: undefined }
    this.#entries.set(key, entry)
    this.#needs.changed()
    const forget = (): void => {
      if (this.#entries.get(key) !== entry) return
      this.#entries.delete(key)
      entry.idle?.()
      this.#needs.changed()
    }
    host.then((one) => {
      entry.loaded = one
      if (this.#entries.get(key) === entry) this.#needs.changed()
      return one.ended.then(forget)
    }, forget)
    return entry
  }

  /** Hosts that are only kept make room, those first that were needed longest ago. */
  #makeRoom({ digest }: FlowOpen, bytes: number): void {
    const { memory } = this.#needs
    const needed = (): number => bytes + [...this.#entries.values()].reduce((sum, entry) => sum + entry.bytes, 0)
    for (const [key, entry] of this.#entries) {
      if (needed() <= memory && this.#entries.size < MAX_HOSTS) return
      if (entry.idle !== undefined) void this.#end(key, entry)
    }
    if (needed() > memory) throw new MemoryQuotaError(digest, needed(), memory)
    if (this.#entries.size >= MAX_HOSTS) throw new FlowRefusedError(`${MAX_HOSTS} graph hosts run already`)
  }

  #isPlaced({ digest, blocks }: Entry): boolean {
    return this.#needs.isPlaced(digest, blocks)
  }

  async #end(key: string, entry: Entry): Promise<void> {
    entry.idle?.()
    this.#entries.delete(key)
    this.#needs.changed()
    await entry.host.then((host) => host.stop()).catch(() => undefined)
  }

  #leave(key: string, entry: Entry): void {
    entry.users--
    if (entry.users > 0 || this.#entries.get(key) !== entry) return
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    const wasPlaced = entry.placed
    entry.placed = this.#isPlaced(entry)
    if (!entry.placed) return wasPlaced ? void this.#end(key, entry) : this.#keepAWhile(key, entry)
    // One a place: who opens a part says what it is, and could fill the memory for good.
    for (const [other, each] of this.#entries) {
      if (each !== entry && each.users === 0 && placeOf(each) === placeOf(entry)) this.#keepAWhile(other, each)
    }
  }

  #keepAWhile(key: string, entry: Entry): void {
    entry.idle ??= this.#needs.clock.after(IDLE_MS, () => void this.#end(key, entry))
  }

  async #start(key: string, open: FlowOpen, skeleton: Uint8Array): Promise<GraphHost> {
    const { clock, codeCache, threads, count } = this.#needs
    const path = await this.#build(key, open, skeleton)
    const host = startGraphHost({ clock, codeCache })
    try {
      await host.load({ path, threads, optimization: open.optimization })
    } catch (error) {
      await host.stop()
      throw error
    }
    count('graph_stages_loaded')
    return host
  }

  async #build(key: string, open: FlowOpen, skeleton: Uint8Array): Promise<string> {
    const { cache, storeDirectory, fetch } = this.#needs
    const folder = join(cache, 'graphs', 'stages', key)
    const path = join(folder, 'partition.onnx')
    if ((await stat(path).catch(() => null)) !== null) return path
    await fetch(
      open.digest,
      open.weights.map(([, , , bytes, address]) => ({ address, bytes })),
    )
    const making = `${folder}.making-${process.pid}`
    await rm(making, { recursive: true, force: true })
    await mkdir(making, { recursive: true, mode: 0o700 })
    try {
      const from = join(making, 'skeleton.onnx')
      await writeFile(from, skeleton)
      const into = join(making, 'partition.onnx')
      const { weights } = open
      const task: StageTask = { kind: 'put-together', skeleton: from, path: into, store: storeDirectory, weights }
      await runOnFile(this.#needs, 'stage-main', task)
      await rename(making, folder).catch(() => undefined)
      return path
    } finally {
      await rm(making, { recursive: true, force: true })
    }
  }
}

function placeOf({ digest, blocks }: Entry): string {
  return `${digest} ${blocks.join(' ')}`
}

function once(action: () => void): () => void {
  let done = false
  return () => {
    if (!done) action()
    done = true
  }
}
