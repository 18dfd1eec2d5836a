/** The parts of graphs that this peer serves for others: built from skeleton and weights, loaded, kept for a while. */
import { createHash } from 'node:crypto'
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StageTask } from '../../../models/index.ts'
import type { CancelTimer, Clock } from '../../../util/index.ts'
import { MemoryQuotaError } from '../../errors.ts'
import { startGraphHost } from '../host/graph-host.ts'
import type { GraphHost } from '../host/graph-host.ts'
import { runOnFile } from '../prepare/child.ts'
import type { FlowOpen } from './protocol.ts'
import type { GraphStageTable, LentHost } from './service.ts'

/** A host that nobody needs is kept for the next request. */
const IDLE_MS = 60_000

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
}

interface Entry {
  readonly bytes: number
  readonly host: Promise<GraphHost>
  users: number
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
    try {
      return { host: await entry.host, done: once(() => this.#leave(key, entry)) }
    } catch (error) {
      this.#leave(key, entry)
      throw error
    }
  }

  async stop(): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    for (const { idle } of entries) idle?.()
    await Promise.all(entries.map(({ host }) => host.then((one) => one.stop()).catch(() => undefined)))
  }

  #begin(key: string, open: FlowOpen, skeleton: Uint8Array): Entry {
    const bytes = skeleton.length + open.weights.reduce((sum, weight) => sum + weight[3], 0)
    const held = [...this.#entries.values()].reduce((sum, entry) => sum + entry.bytes, 0)
    if (held + bytes > this.#needs.memory) throw new MemoryQuotaError(open.digest, held + bytes, this.#needs.memory)
    const entry: Entry = { bytes, host: this.#start(key, open, skeleton), users: 0, idle: undefined }
    this.#entries.set(key, entry)
    const forget = (): void => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
    }
    entry.host.then((host) => host.ended.then(forget), forget)
    return entry
  }

  #leave(key: string, entry: Entry): void {
    entry.users--
    if (entry.users > 0 || this.#entries.get(key) !== entry) return
    entry.idle = this.#needs.clock.after(IDLE_MS, () => {
      this.#entries.delete(key)
      void entry.host.then((host) => host.stop()).catch(() => undefined)
    })
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

function once(action: () => void): () => void {
  let done = false
  return () => {
    if (!done) action()
    done = true
  }
}
