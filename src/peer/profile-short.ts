/**
 * Memory that other peers say they have, and have not. A peer may tell any figure: a stage that came to nothing there for
 * want of memory is what it is counted by, for a while. What stands there is left as it is.
 */
import type { ModelHoldings, ShortMemory } from '../mesh/index.ts'
import type { AnyManifest } from '../models/index.ts'
import { MemoryQuotaError, StageMemoryError } from '../pipeline/index.ts'
import type { Clock } from '../util/index.ts'

/** As long as a stage host rests that has ended for lack of memory; with each further time within a day twice as long. */
const LEAST_MS = 600_000
const MOST_MS = 8 * LEAST_MS
const REPEATS_MS = 86_400_000
/** A peer that goes while it loads was perhaps just ended by somebody: it is the second time that says something. */
const VANISHED = 2
const MAX_ENTRIES = 64

/** A peer that is counted with less memory than it tells. */
export interface CountedMemory {
  /** Bytes that it is counted with. */
  readonly memory: number
  /** Of which a stage came to nothing there, by which code, and of how many bytes with all that it holds. */
  readonly model: string
  readonly why: string
  readonly needed: number
  /** Seconds until its own figure counts again. */
  readonly for_s: number
}

interface Entry {
  readonly memory: number
  readonly model: string
  readonly why: string
  readonly needed: number
  readonly at: number
  readonly times: number
  readonly until: number
}

export interface ShortPeersNeeds {
  readonly self: string
  readonly clock: Clock
  holdings(peer: string): readonly ModelHoldings[]
  manifest(digest: string): AnyManifest | undefined
  /** What somebody is counted with has changed. */
  changed(): void
}

type Loading = Pick<Entry, 'model' | 'needed'> & { readonly held: number }

export class ShortPeers {
  readonly #needs: ShortPeersNeeds
  readonly #entries = new Map<string, Entry>()
  /** What peers are loading now, and how often each has gone meanwhile. */
  readonly #loading = new Map<string, Loading>()
  readonly #vanished = new Map<string, number>()

  constructor(needs: ShortPeersNeeds) {
    this.#needs = needs
  }

  /** What a peer holds has changed. */
  look(peer: string): void {
    if (peer === this.#needs.self) return
    this.#loading.delete(peer)
    const all = this.#needs.holdings(peer)
    for (const { digest, model, stages } of all) {
      const ready = stages.filter(({ state }) => state === 'ready')
      const held = this.#bytes(all, digest, ready)
      const entry = this.#fresh(peer)
      if (ready.length > 0 && entry !== undefined && held >= entry.needed) this.#forget(peer)
      for (const stage of stages) {
        const needed = this.#bytes(all, digest, [...ready, stage])
        if (stage.state === 'loading') this.#loading.set(peer, { model, needed, held })
        else if (stage.state === 'failed' && stage.short === true)
          this.#learn(peer, { model, needed, held }, 'it could not be loaded for want of memory')
      }
    }
  }

  /** Nothing more comes from it. */
  left(peer: string): void {
    const loading = this.#loading.get(peer)
    this.#loading.delete(peer)
    if (loading === undefined) return
    const times = (this.#vanished.get(peer) ?? 0) + 1
    bounded(this.#vanished, peer, times)
    if (times >= VANISHED) this.#learn(peer, loading, 'it went away while it loaded')
  }

  /** It would not take a session over these blocks, though they were given to it. */
  refused(peer: string, { digest, model }: Pick<AnyManifest, 'digest' | 'model'>, range: Range, error: Error): void {
    const code = codeOf(error)
    if (peer === this.#needs.self || !isShortOfMemory(error)) return
    const all = this.#needs.holdings(peer)
    const ready = all
      .filter((entry) => entry.digest === digest)
      .flatMap(({ stages }) => stages.filter(({ state }) => state === 'ready'))
    const held = this.#bytes(all, digest, ready)
    this.#learn(peer, { model, needed: this.#bytes(all, digest, [...ready, range]), held }, code)
  }

  /** Bytes that a peer is planned with. @param told by itself */
  memory(peer: string, told: number): number {
    return Math.min(told, this.#fresh(peer)?.memory ?? Infinity)
  }

  /** Undefined: by its own word. */
  counted(peer: string): CountedMemory | undefined {
    const entry = this.#fresh(peer)
    if (entry === undefined) return undefined
    const { memory, model, why, needed, until } = entry
    return { memory, model, why, needed, for_s: Math.ceil((until - this.#needs.clock.now()) / 1000) }
  }

  told(): ShortMemory[] {
    return [...this.#entries.keys()].flatMap((peer) => {
      const entry = this.#fresh(peer)
      return entry === undefined ? [] : [{ peer, bytes: entry.memory }]
    })
  }

  #learn(peer: string, { model, needed, held }: Loading, why: string): void {
    // A peer that tells of less than came to nothing has told the truth meanwhile; of no bytes nothing can be said.
    if (needed <= held) return
    const known = this.#entries.get(peer)
    const now = this.#needs.clock.now()
    // It is told again and again while it lasts.
    if (known !== undefined && now < known.until && known.model === model && needed >= known.needed) return
    const times = known !== undefined && now - known.at < REPEATS_MS ? known.times + 1 : 0
    const until = now + Math.min(MOST_MS, LEAST_MS * 2 ** times)
    const memory = Math.floor((held + needed) / 2)
    bounded(this.#entries, peer, { memory, model, why, needed, at: now, times, until })
    this.#needs.changed()
  }

  #forget(peer: string): void {
    this.#entries.delete(peer)
    this.#needs.changed()
  }

  #fresh(peer: string): Entry | undefined {
    const entry = this.#entries.get(peer)
    return entry !== undefined && this.#needs.clock.now() < entry.until ? entry : undefined
  }

  /** Of the weights of these blocks, and of what the peer has loaded of other models. */
  #bytes(all: readonly ModelHoldings[], digest: string, ranges: readonly Range[]): number {
    const others = all.filter((entry) => entry.digest !== digest).flatMap(({ stages }) => stages)
    const hosts = new Map(others.map(({ pid, memory }) => [pid, memory]))
    const blocks = this.#needs.manifest(digest)?.blocks ?? []
    const own = blocks.filter((_, at) => ranges.some(({ from, to }) => from <= at && at < to))
    return [...hosts.values(), ...own.map(({ memory }) => memory)].reduce((sum, bytes) => sum + bytes, 0)
  }
}

type Range = { readonly from: number; readonly to: number }

/** Whoever says this would have the stage, had it the memory. */
export function isShortOfMemory(error: Error): boolean {
  return [MemoryQuotaError.info.code, StageMemoryError.info.code].includes(codeOf(error))
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : ''
}

/** The newest is kept, the oldest goes. */
function bounded<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > MAX_ENTRIES && oldest !== undefined) map.delete(oldest)
}
