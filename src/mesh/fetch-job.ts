/** One fetch: holders are asked for what is left, the rarest first, until all is here or nobody can give the rest. */
import { AddressMismatchError, ChunkMismatchError } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { Availability } from './availability.ts'
import type { ChunkFailures } from './chunk-failures.ts'
import type { Claims, ClaimsOfOne } from './claims.ts'
import { FetchFailedError } from './errors.ts'
import { createFetchQueue } from './fetch-queue.ts'
import type { FetchQueue, Task } from './fetch-queue.ts'
import { fetchChunk, openBlob } from './fetch-task.ts'
import { Flights } from './flights.ts'
import type { Ask } from './flights.ts'
import type { Holder, HolderOptions } from './holder.ts'
import { HolderState } from './holder-state.ts'
import { COMPLAINT_MS, FETCH_STALL_MS, FETCH_TICK_MS, HOLDERS_AT_ONCE, MAX_HOLDERS } from './limits.ts'
import type { MeshCount } from './needs.ts'
import { Pace } from './pace.ts'
import type { BlobRequest, FetchOptions } from './types.ts'

export interface FetchJobNeeds {
  readonly store: BlobStore
  readonly clock: Clock
  readonly random: RandomSource
  readonly count: MeshCount
  readonly openHolder: (peer: string, options: HolderOptions) => Holder
  /** Whom to ask of these, in this order; not who has lied. */
  readonly askable: (peers: readonly string[]) => string[]
  /** It sent what is not what it should be. */
  readonly lied: (peer: string, address: string, index: number, why: string) => void
  readonly claims: Claims
  readonly failures: ChunkFailures
  /** A holder has sent for a while at so many bytes a second. */
  readonly delivered: (peer: string, rate: number) => void
}

const PIECES_A_CHUNK = 4

/** `peers` in the order in which they are asked. @throws FetchFailedError, ChunkUnobtainableError, DiskFullError */
export async function runFetch(
  needs: FetchJobNeeds,
  blobs: readonly BlobRequest[],
  peers: readonly string[],
  options: FetchOptions,
): Promise<void> {
  options.signal?.throwIfAborted()
  const present = new Set<string>()
  for (const { address } of blobs) if (await needs.store.has(address)) present.add(address)
  const availability = new Availability(blobs)
  const queue = createFetchQueue(blobs, present, availability, needs.random)
  options.onProgress?.(queue.done(), queue.total, 0)
  if (queue.finished()) return
  const job = new FetchJob(needs, queue, availability, peers, options)
  try {
    await job.run()
  } finally {
    job.end()
  }
}

class FetchJob {
  readonly #needs: FetchJobNeeds
  readonly #queue: FetchQueue
  readonly #availability: Availability
  readonly #flights = new Flights()
  readonly #options: FetchOptions
  /** Holders whose turn has not come. */
  readonly #spare: string[]
  readonly #holders = new Map<string, HolderState>()
  readonly #claims: ClaimsOfOne
  readonly #result = Promise.withResolvers<void>()
  readonly #onAbort = (): void => this.#fail(this.#options.signal?.reason)
  #over = false
  #stopWatch: (() => void) | undefined
  #stopTick: (() => void) | undefined

  constructor(
    needs: FetchJobNeeds,
    queue: FetchQueue,
    availability: Availability,
    peers: readonly string[],
    options: FetchOptions,
  ) {
    this.#needs = needs
    this.#queue = queue
    this.#availability = availability
    this.#options = options
    this.#spare = [...new Set(peers)]
    this.#claims = needs.claims.begin()
  }

  run(): Promise<void> {
    const { signal } = this.#options
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (signal?.aborted === true) this.#onAbort()
    this.#watch()
    this.#tick()
    return this.#result.promise
  }

  end(): void {
    this.#over = true
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#stopWatch?.()
    this.#stopTick?.()
    this.#claims.end()
    for (const { holder, dead } of this.#holders.values()) if (dead === undefined) holder.close()
  }

  /** Again and again: who is there now, what have they got by now, is somebody slow. */
  #tick(): void {
    if (this.#over) return
    this.#stopTick = this.#needs.clock.after(FETCH_TICK_MS, () => this.#tick())
    const known = new Set([...this.#holders.keys(), ...this.#spare])
    const more = this.#options.more?.() ?? []
    if (more.some((peer) => !known.has(peer))) {
      this.#spare.push(...this.#needs.askable(more).filter((peer) => !known.has(peer)))
    }
    this.#staff()
  }

  /** Puts spare holders to work where others are of no more use; gives up when nobody is left. */
  #staff(): void {
    if (this.#over) return
    const isUseful = (state: HolderState): boolean =>
      state.dead === undefined && (!state.known || state.inFlight > 0 || this.#queue.hasWorkFor(state.peer))
    const useful = [...this.#holders.values()].filter(isUseful)
    let working = useful.length
    const limit = useful.every(({ known }) => known) && this.#queue.hasOrphans() ? MAX_HOLDERS : HOLDERS_AT_ONCE
    while (working < limit && this.#spare.length > 0) {
      this.#hire(this.#spare.shift()!)
      working += 1
    }
    if (working === 0 && !this.#queue.finished()) return this.#giveUp()
    for (const state of this.#holders.values()) this.#serve(state)
  }

  #hire(peer: string): void {
    const { clock, count } = this.#needs
    const pace = new Pace(clock, (rate) => this.#needs.delivered(peer, rate))
    const options = {
      lane: true,
      received: (bytes: number) => pace.received(bytes),
      wasted: (bytes: number) => bytes > 0 && count('bytes_refetched', bytes),
    }
    this.#holders.set(peer, new HolderState(this.#needs.openHolder(peer, options), pace, clock))
  }

  /** Gives a holder as much to do as it can take. */
  #serve(state: HolderState): void {
    const unfinished = this.#queue.unfinished()
    if (state.isPollDue(unfinished, this.#availability)) {
      void state.poll(unfinished, this.#availability).then(
        () => this.#staff(),
        (error: unknown) => this.#suffer(state, undefined, error),
      )
    }
    if (!state.known) return
    while (!this.#over && state.dead === undefined && !state.isPaused() && state.inFlight < state.pace.depth()) {
      const task = this.#queue.take(state.peer) ?? this.#rescue(state)
      if (task === undefined) return
      void this.#run(state, task)
    }
  }

  /** Something that another holder is slow with. */
  #rescue(state: HolderState): Task | undefined {
    const has = (task: Task): boolean =>
      task.kind === 'open'
        ? this.#availability.hasAny(state.peer, task.blob.address)
        : this.#availability.has(state.peer, task.blob.address, task.index)
    const paceOf = (peer: string): Pace | undefined => this.#holders.get(peer)?.pace
    const task = this.#flights.rescue(state.peer, this.#needs.clock.now(), paceOf, has)
    if (task !== undefined) this.#needs.count('chunks_duplicated')
    return task
  }

  async #run(state: HolderState, task: Task): Promise<void> {
    const ask = this.#flights.begin(task, state.peer, this.#needs.clock.now())
    if (state.inFlight === 0) state.pace.begin()
    state.inFlight += 1
    state.holder.widen(state.pace.depth() * PIECES_A_CHUNK)
    let failure: { readonly error: unknown } | undefined
    try {
      await this.#perform(state.holder, task, ask.dropped.signal)
    } catch (error) {
      failure = { error }
    }
    state.inFlight -= 1
    if (failure === undefined) {
      this.#flights.succeeded(ask)
      state.succeeded()
      this.#progressed()
    } else this.#suffer(state, ask, failure.error)
  }

  async #perform(holder: Holder, task: Task, signal: AbortSignal): Promise<void> {
    const { blob } = task
    const needs = { ...this.#needs, queue: this.#queue, holder, signal }
    if (task.kind === 'chunk') {
      if (await fetchChunk(needs, task)) this.#claims.release(blob.address)
      return
    }
    const other = this.#claims.claim(blob.address)
    if (other === undefined) {
      if (await openBlob(needs, blob)) this.#claims.release(blob.address)
      return
    }
    blob.state = 'elsewhere'
    void other.then(async () => {
      if (await this.#needs.store.has(blob.address)) this.#queue.finish(blob)
      else blob.state = 'fresh'
      this.#progressed()
    }, this.#fail)
  }

  /** `ask`: what it was asked for; undefined: what it has. */
  #suffer(state: HolderState, ask: Ask | undefined, error: unknown): void {
    if (ask !== undefined && this.#flights.failed(ask)) this.#queue.giveBack(ask.task)
    if (this.#over) return
    const isDropped = ask?.dropped.signal.aborted === true
    const blame = isDropped && !(state.dead === undefined && isWrong(error)) ? 'dropped' : state.blame(error)
    if (blame === 'fatal') return this.#fail(error)
    if (blame === 'lacks' && ask !== undefined) this.#learnLack(state.peer, ask.task)
    if (blame === 'lied') this.#accuse(state, ask, error)
    else if (blame === 'dead') this.#dismiss(state)
    this.#staff()
  }

  #learnLack(peer: string, task: Task): void {
    const { address } = task.blob
    if (task.kind === 'open') this.#availability.lacksBlob(peer, address)
    else this.#availability.lacksChunk(peer, address, task.index)
  }

  #dismiss(state: HolderState): void {
    this.#availability.drop(state.peer)
    state.holder.close()
  }

  /** It is told what was wrong, so that an honest peer with a bad disk can mend it, and asked for nothing more. */
  #accuse(state: HolderState, ask: Ask | undefined, error: unknown): void {
    const { clock, count, failures, lied } = this.#needs
    const address = ask?.task.blob.address ?? ''
    const index = ask?.task.kind === 'chunk' ? ask.task.index : 0
    this.#availability.drop(state.peer)
    count('chunks_refused')
    if (ask !== undefined && ask.task.kind === 'chunk') count('bytes_refetched', ask.task.bytes)
    lied(state.peer, address, index, error instanceof Error ? error.message : String(error))
    const tell = async (): Promise<void> => {
      if (ask !== undefined && isWrong(error) && (await state.holder.version()) > 1) {
        await state.holder.ask({ kind: 'check', address, index }, 1)
      }
    }
    const cancel = clock.after(COMPLAINT_MS, () => state.holder.close())
    void tell()
      .catch(() => undefined)
      .then(cancel)
      .then(() => state.holder.close())
    try {
      if (ask !== undefined) failures.record(address, index, state.peer)
    } catch (unobtainable) {
      this.#fail(unobtainable)
    }
  }

  #progressed(): void {
    if (this.#over) return
    this.#watch()
    const sending = [...this.#holders.values()].filter(({ inFlight }) => inFlight > 0).length
    this.#options.onProgress?.(this.#queue.done(), this.#queue.total, sending)
    if (this.#queue.finished()) this.#result.resolve()
    else this.#staff()
  }

  #watch(): void {
    const stall = this.#options.stall ?? FETCH_STALL_MS
    this.#stopWatch?.()
    this.#stopWatch = this.#needs.clock.after(stall, () => {
      if (this.#queue.waitsForOthers()) this.#watch()
      else this.#giveUp(`nothing came for ${stall} ms`)
    })
  }

  readonly #fail = (error: unknown): void => this.#result.reject(error)

  #giveUp(why = 'it lacks the rest'): void {
    const reasons = Object.fromEntries([...this.#holders.values()].map(({ peer, dead }) => [peer, dead ?? why]))
    const { total } = this.#queue
    this.#fail(new FetchFailedError(`${total} bytes of tensors`, this.#queue.done(), total, reasons))
  }
}

/** The bytes are wrong, not the way that they came. */
function isWrong(error: unknown): boolean {
  return error instanceof ChunkMismatchError || error instanceof AddressMismatchError
}
