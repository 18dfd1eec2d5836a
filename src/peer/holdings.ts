/** What this peer holds, told to the mesh: tensors in the store, stages that are ready, and their memory. */
import type { Mesh, ModelHoldings } from '../mesh/index.ts'
import type { AnyManifest } from '../models/index.ts'
import type { GraphStages, HostStats, Stages } from '../pipeline/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import type { Library } from './library.ts'
import type { DeviceMeasures } from './profile-measures.ts'

/** Changes come in bursts while a stage loads; others need the state, not each step. */
const SETTLE_MS = 20
/** How often the memory of the stage hosts is read. */
const MEMORY_MS = 2_000

export interface HoldingsNeeds {
  readonly clock: Clock
  readonly mesh: Mesh | null
  readonly library: Library
  readonly stages: Stages
  readonly graphStages: GraphStages
  /** Told what hosts have seen of their blocks. */
  readonly measures: Pick<DeviceMeasures, 'seen' | 'loaded' | 'plain'>
}

export class Holdings {
  readonly #needs: HoldingsNeeds
  /** Resident bytes of a stage host, by process. */
  readonly memory = new Map<number, number>()
  /** What the hosts of language models said last, by process. */
  readonly hosts = new Map<number, HostStats>()
  #timer: CancelTimer | undefined
  #poll: CancelTimer | undefined
  #last = ''
  #stopped = false

  constructor(needs: HoldingsNeeds) {
    this.#needs = needs
  }

  start(): void {
    this.#readMemory()
    this.changed()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.()
    this.#poll?.()
  }

  changed(): void {
    if (this.#stopped) return
    this.#timer?.()
    this.#timer = this.#needs.clock.after(SETTLE_MS, () => void this.#publish().catch(() => undefined))
  }

  async #publish(): Promise<void> {
    await this.#readNew()
    const holdings = await Promise.all(this.#needs.library.list().map((manifest) => this.#of(manifest)))
    const text = JSON.stringify(holdings)
    if (text === this.#last) return
    this.#last = text
    await this.#needs.mesh?.publishHoldings(holdings)
  }

  async #of(manifest: AnyManifest): Promise<ModelHoldings> {
    const { library, stages, graphStages } = this.#needs
    const tensors: [number, number][] = []
    for (let block = 0; block < manifest.blocks.length; block++) {
      if (!(await library.hasBlocks(manifest, block, block + 1))) continue
      const last = tensors.at(-1)
      if (last?.[1] === block) last[1] = block + 1
      else tensors.push([block, block + 1])
    }
    const own = [...stages.list(), ...graphStages.list()].filter((stage) => stage.digest === manifest.digest)
    return {
      model: manifest.model,
      digest: manifest.digest,
      tensors,
      stages: own.map(({ from, to, pid, state, ...rest }) => {
        const isShort = 'short' in rest && rest.short
        return { from, to, pid, state, memory: this.memory.get(pid) ?? 0, ...(isShort ? { short: true } : {}) }
      }),
    }
  }

  /** A stage that has just become ready is told with its memory, not two seconds before it; one that is gone is forgotten. */
  async #readNew(): Promise<void> {
    const { stages, graphStages } = this.#needs
    this.#needs.measures.plain(stages.hosts().some(({ isPlain }) => isPlain))
    const all = [...stages.list(), ...graphStages.list()]
    const present = new Set(all.map(({ pid }) => pid))
    for (const known of [this.memory, this.hosts])
      for (const pid of known.keys()) if (!present.has(pid)) known.delete(pid)
    const ready = new Set(all.filter(({ state }) => state === 'ready').map(({ pid }) => pid))
    const fresh = [...stages.hosts(), ...graphStages.hosts()].filter(
      ({ host }) => ready.has(host.pid) && !this.memory.has(host.pid),
    )
    await Promise.allSettled(fresh.map(async ({ host }) => this.memory.set(host.pid, (await host.stats()).rss)))
  }

  #readMemory(): void {
    const { stages, graphStages, measures } = this.#needs
    void Promise.allSettled([
      ...graphStages.hosts().map(async ({ host }) => this.#setMemory(host.pid, (await host.stats()).rss)),
      ...stages.hosts().map(async ({ digest, kernel, host }) => {
        const stats = await host.stats()
        const { rss, blocks } = stats
        this.hosts.set(host.pid, stats)
        this.#setMemory(host.pid, rss)
        measures.seen(digest, blocks)
        if (kernel !== null) measures.loaded(kernel)
      }),
    ]).then(() => {
      // Asked before the stop and answered after it: a timer that is set now would never be cancelled.
      if (this.#stopped) return
      this.#poll = this.#needs.clock.after(MEMORY_MS, () => this.#readMemory())
    })
  }

  /** Changes of less than a sixteenth are not worth a record. */
  #setMemory(pid: number, rss: number): void {
    const before = this.memory.get(pid) ?? 0
    if (Math.abs(rss - before) < before / 16) return
    this.memory.set(pid, rss)
    this.changed()
  }
}

/** Connected peers that have the manifest of a model that is here. */
export function holdersNear(mesh: Mesh, library: Library | undefined): string[] {
  const here = new Set(library?.list().map(({ digest }) => digest))
  const holders = mesh.manifests().flatMap((known) => (here.has(known.digest) ? known.holders : []))
  return [...new Set(holders)].filter((peer) => mesh.state(peer) === 'connected')
}
