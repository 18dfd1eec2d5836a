/** The parts of graphs that this peer serves for others: built from skeleton and weights, loaded, kept for a while. */
import type { CancelTimer } from '../../../util/index.ts'
import { CancelledError, MemoryQuotaError } from '../../errors.ts'
import { KvFullError } from '../../host/errors.ts'
import { MemoryEnds } from '../../memory-ends.ts'
import type { LoadedStage } from '../../stages.ts'
import { FlowRefusedError } from '../errors.ts'
import type { GraphHost } from '../host/graph-host.ts'
import { startPart } from './build-part.ts'
import type { BuildPartNeeds } from './build-part.ts'
import type { FlowOpen } from './protocol.ts'
import { partKey, placeOf, RememberedParts } from './remembered.ts'
import type { PartFacts, Remembered } from './remembered.ts'
import type { GraphStageTable, LentHost } from './service.ts'

/** A host that nobody needs is kept for the next request. */
const IDLE_MS = 60_000
/** Each is a process. */
const MAX_HOSTS = 64
/** How often a part of a placement is loaded anew while no request asks for it, and after how long at first. */
const MAX_TRIES = 5
const RETRY_MS = 2_000

export interface GraphStagesNeeds extends BuildPartNeeds {
  /** Where the parts that placements gave to this peer are remembered. */
  readonly parts: string
  /** Bytes for weights and for what sessions keep. */
  readonly memory: number
  /** Of that, what others have taken. What they only keep they give back, down to `most`. */
  readonly taken: (most: number) => number
  /** Name and number of blocks of a model that is known here. */
  readonly model: (digest: string) => { readonly model: string; readonly blocks: number } | undefined
  /** The author of a placement that stands and gives these blocks to this peer: their host is kept. */
  readonly placedBy: (digest: string, blocks: readonly [from: number, to: number]) => string | undefined
  /** Hosts were loaded, or have ended. */
  readonly changed: () => void
  /** A part that this peer loads by itself could not be. */
  readonly failed: (digest: string, error: unknown) => void
}

interface Entry {
  readonly digest: string
  readonly blocks: readonly [from: number, to: number]
  /** Of its weights, and of what sessions keep. */
  bytes: number
  readonly host: Promise<GraphHost>
  loaded: GraphHost | null
  users: number
  /** A placement gave it to this peer when that was last asked while nobody used it, or since. */
  placed: boolean
  idle: CancelTimer | undefined
  /** Whoever has opened it. */
  readonly origins: Set<string>
  /** What it was made of, until it is remembered. */
  made: { readonly facts: PartFacts; readonly skeleton: Uint8Array } | null
}

export class GraphStages implements GraphStageTable {
  readonly #needs: GraphStagesNeeds
  readonly #entries = new Map<string, Entry>()
  readonly #remembered: RememberedParts
  /** By place: other blocks take other memory. */
  readonly #memoryEnds: MemoryEnds
  /** By place, since a host of it was last asked for or had lived a while. */
  readonly #tries = new Map<string, number>()
  #restoring: Promise<void> = Promise.resolve()
  #retry: CancelTimer | undefined
  #stopped = false

  constructor(needs: GraphStagesNeeds) {
    this.#needs = needs
    this.#remembered = new RememberedParts(needs.parts)
    this.#memoryEnds = new MemoryEnds(needs.clock)
  }

  /** @throws MemoryQuotaError, StageMemoryError, what fetching, building and loading throw */
  async open(open: FlowOpen, skeleton: Uint8Array, origin: string): Promise<LentHost> {
    const key = partKey(open, skeleton)
    const entry = this.#entries.get(key) ?? this.#begin(key, open, skeleton)
    entry.origins.add(origin)
    entry.users++
    entry.idle?.()
    entry.idle = undefined
    try {
      const host = await entry.host
      this.#tries.delete(placeOf(entry))
      const free = this.#reserve(entry, open.decode?.most ?? 0)
      return {
        host,
        done: once(() => {
          free()
          this.#leave(key, entry)
        }),
      }
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

  /** Of the models that are loaded, or about to be. */
  digests(): string[] {
    return [...this.#entries.values()].map(({ digest }) => digest)
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
      if (entry.placed && !isPlaced) await this.#remembered.forget(entry)
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
        this.#remember(entry)
      }
    }
    await Promise.all(ends)
    this.#restore()
  }

  /** Ends the hosts of a model that no request needs. */
  async release(digest: string): Promise<void> {
    const idle = [...this.#entries].filter(([, entry]) => entry.digest === digest && entry.users === 0)
    await Promise.all(idle.map(([key, entry]) => this.#end(key, entry)))
  }

  /** Bytes of the parts that are loaded: their weights, and what sessions keep. */
  get bytes(): number {
    return [...this.#entries.values()].reduce((sum, entry) => sum + entry.bytes, 0)
  }

  /** Ends hosts that are only kept, until no more than `most` bytes are held or none is left. @returns what is held */
  giveBack(most: number): number {
    this.#endIdle(() => this.bytes <= most)
    return this.bytes
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#memoryEnds.stop(new CancelledError('the peer is stopping'))
    this.#retry?.()
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    for (const { idle } of entries) idle?.()
    await Promise.all(entries.map(({ host }) => host.then((one) => one.stop()).catch(() => undefined)))
  }

  #begin(key: string, open: PartFacts, skeleton: Uint8Array): Entry {
    const bytes = skeleton.length + open.weights.reduce((sum, weight) => sum + weight[3], 0)
    this.#makeRoom(open, bytes)
    const { digest, blocks } = open
    // Not at once after one that ended for lack of memory, and not at all after several.
    const pause = this.#memoryEnds.pause(placeOf(open), this.#needs.model(digest)?.model ?? digest)
    const host = pause.then(() => startPart(this.#needs, key, open, skeleton))
    const started = this.#needs.clock.now()
    const made = { facts: open, skeleton }
    const state = { loaded: null, users: 0, placed: false, idle: undefined, origins: new Set<string>(), made }
    const entry: Entry = { digest, blocks, bytes, host, ...state }
    this.#entries.set(key, entry)
    this.#needs.changed()
    const forget = (error: unknown): void => {
      this.#memoryEnds.failed(placeOf(entry), error)
      if (this.#entries.get(key) !== entry) return
      this.#entries.delete(key)
      entry.idle?.()
      this.#needs.changed()
      if (!entry.placed) return
      if (entry.loaded !== null) this.#needs.count('stage_restarts')
      if (entry.loaded !== null && this.#needs.clock.now() - started > IDLE_MS) this.#tries.delete(placeOf(entry))
      this.#restore()
    }
    host.then((one) => {
      entry.loaded = one
      if (this.#entries.get(key) === entry) this.#needs.changed()
      return one.ended.then(forget)
    }, forget)
    return entry
  }

  /** Room for what a session keeps between its steps, counted as weights are. @throws KvFullError */
  #reserve(entry: Entry, bytes: number): () => void {
    if (bytes > 0) {
      this.#endIdle(() => this.#total(bytes) + bytes <= this.#needs.memory)
      const free = this.#needs.memory - this.#total(bytes)
      if (bytes > free) throw new KvFullError(bytes, Math.max(0, free))
      entry.bytes += bytes
    }
    return () => void (entry.bytes -= bytes)
  }

  /** @param more bytes that are wanted */
  #total(more = 0): number {
    const { bytes } = this
    return bytes + this.#needs.taken(this.#needs.memory - bytes - more)
  }

  /** Hosts that are only kept make room, those first that were needed longest ago. */
  #endIdle(enough: () => boolean): void {
    for (const [key, entry] of this.#entries) {
      if (enough()) return
      if (entry.idle !== undefined) void this.#end(key, entry)
    }
  }

  #makeRoom({ digest }: PartFacts, bytes: number): void {
    const { memory } = this.#needs
    const needed = (): number => bytes + this.#total(bytes)
    this.#endIdle(() => needed() <= memory && this.#entries.size < MAX_HOSTS)
    if (needed() > memory) throw new MemoryQuotaError(digest, needed(), memory)
    if (this.#entries.size >= MAX_HOSTS) throw new FlowRefusedError(`${MAX_HOSTS} graph hosts run already`)
  }

  #isPlaced({ digest, blocks }: Entry): boolean {
    return this.#needs.placedBy(digest, blocks) !== undefined
  }

  /** What whoever gave the place has opened, nobody else: what is remembered is loaded without being asked for. */
  #remember(entry: Entry): void {
    const { digest, blocks, made, origins } = entry
    const author = this.#needs.placedBy(digest, blocks)
    if (made === null || author === undefined || !origins.has(author)) return
    entry.made = null
    // On a full disk the part serves until this peer ends.
    this.#remembered.keep(made.facts, made.skeleton).catch(() => undefined)
  }

  /** Loads what placements give to this peer and was loaded here before. */
  #restore(): void {
    this.#restoring = this.#restoring.then(async () => {
      for (const part of await this.#remembered.list()) await this.#restoreOne(part)
    })
  }

  async #restoreOne({ key, facts, skeleton }: Remembered): Promise<void> {
    const place = placeOf(facts)
    const tries = this.#tries.get(place) ?? 0
    const isThere = [...this.#entries.values()].some((entry) => placeOf(entry) === place)
    if (this.#stopped || isThere || tries >= MAX_TRIES) return
    if (this.#needs.placedBy(facts.digest, facts.blocks) === undefined) return
    this.#tries.set(place, tries + 1)
    try {
      const bytes = await skeleton()
      if (partKey(facts, bytes) !== key) return await this.#remembered.forget(facts)
      const entry = this.#begin(key, facts, bytes)
      entry.placed = true
      entry.made = null
      await entry.host
    } catch (error) {
      if (this.#stopped) return
      this.#needs.failed(facts.digest, error)
      this.#retry?.()
      this.#retry = this.#needs.clock.after(RETRY_MS * 2 ** tries, () => this.#restore())
    }
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
    this.#remember(entry)
    for (const [other, each] of this.#entries) {
      if (each !== entry && each.users === 0 && placeOf(each) === placeOf(entry)) this.#keepAWhile(other, each)
    }
  }

  #keepAWhile(key: string, entry: Entry): void {
    entry.idle ??= this.#needs.clock.after(IDLE_MS, () => void this.#end(key, entry))
  }
}

function once(action: () => void): () => void {
  let done = false
  return () => {
    if (!done) action()
    done = true
  }
}
