/** One fetch: workers ask the holders for what is left, until all is here or nobody can give the rest. */
import { AddressMismatchError, ChunkMismatchError } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import type { Claims, ClaimsOfOne } from './claims.ts'
import { FetchFailedError, HolderError } from './errors.ts'
import { createFetchQueue } from './fetch-queue.ts'
import type { FetchQueue, Task } from './fetch-queue.ts'
import { fetchChunk, openBlob } from './fetch-task.ts'
import type { Holder } from './holder.ts'
import { CHUNKS_IN_FLIGHT, FETCH_STALL_MS, HOLDER_RETRIES, HOLDERS_AT_ONCE } from './limits.ts'
import type { MeshCount } from './needs.ts'
import type { BlobRequest, FetchOptions } from './types.ts'

export interface FetchJobNeeds {
  readonly store: BlobStore
  readonly clock: Clock
  readonly count: MeshCount
  readonly openHolder: (peer: string) => Holder
  /** It sent what is not what it should be. */
  readonly lied: (peer: string) => void
  readonly claims: Claims
}

interface HolderState {
  readonly holder: Holder
  /** Addresses that it does not have. */
  readonly lacks: Set<string>
  failures: number
  /** Why it is not asked any more. */
  dead: string | undefined
}

const RETRY_MS = 500

/** `peers` in the order in which they are asked. @throws FetchFailedError, DiskFullError */
export async function runFetch(
  needs: FetchJobNeeds,
  blobs: readonly BlobRequest[],
  peers: readonly string[],
  options: FetchOptions,
): Promise<void> {
  options.signal?.throwIfAborted()
  const present = new Set<string>()
  for (const { address } of blobs) if (await needs.store.has(address)) present.add(address)
  const queue = createFetchQueue(blobs, present)
  options.onProgress?.(queue.done(), queue.total)
  if (queue.finished()) return
  const job = new FetchJob(needs, queue, peers, options)
  try {
    await job.run()
  } finally {
    job.end()
  }
}

class FetchJob {
  readonly #needs: FetchJobNeeds
  readonly #queue: FetchQueue
  readonly #options: FetchOptions
  /** Holders whose turn has not come. */
  readonly #spare: string[]
  readonly #holders: HolderState[] = []
  readonly #claims: ClaimsOfOne
  readonly #over = new AbortController()
  readonly #result = Promise.withResolvers<void>()
  readonly #onAbort = (): void => this.#fail(this.#options.signal?.reason)
  /** Renewed whenever there may be work again. */
  #change = Promise.withResolvers<void>()
  #stopWatch: (() => void) | undefined

  constructor(needs: FetchJobNeeds, queue: FetchQueue, peers: readonly string[], options: FetchOptions) {
    this.#needs = needs
    this.#queue = queue
    this.#options = options
    this.#spare = [...new Set(peers)]
    this.#claims = needs.claims.begin()
  }

  run(): Promise<void> {
    const { signal } = this.#options
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (signal?.aborted === true) this.#onAbort()
    this.#watch()
    this.#staff()
    return this.#result.promise
  }

  end(): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#stopWatch?.()
    this.#over.abort(new Error('the fetch has ended'))
    this.#claims.end()
    this.#changed()
    for (const { holder } of this.#holders) holder.close()
  }

  /** Puts spare holders to work where others are of no more use; gives up when nobody is left. */
  #staff(): void {
    if (this.#over.signal.aborted) return
    const useful = ({ dead, lacks }: HolderState): boolean => dead === undefined && this.#queue.hasWorkFor(lacks)
    let working = this.#holders.filter(useful).length
    while (working < HOLDERS_AT_ONCE && this.#spare.length > 0) {
      const holder = this.#needs.openHolder(this.#spare.shift()!)
      const state: HolderState = { holder, lacks: new Set(), failures: 0, dead: undefined }
      this.#holders.push(state)
      working += 1
      for (let worker = 0; worker < CHUNKS_IN_FLIGHT; worker++) void this.#work(state)
    }
    if (working === 0 && !this.#queue.finished()) this.#giveUp()
  }

  async #work(state: HolderState): Promise<void> {
    while (!this.#over.signal.aborted && state.dead === undefined) {
      const task = this.#queue.take(state.lacks)
      if (task === undefined) {
        await this.#change.promise
        continue
      }
      try {
        await this.#perform(state.holder, task)
        state.failures = 0
        this.#progressed()
      } catch (error) {
        this.#queue.giveBack(task)
        this.#changed()
        if (this.#over.signal.aborted) return
        await this.#suffer(state, task, error)
      }
    }
  }

  async #perform(holder: Holder, task: Task): Promise<void> {
    const { blob } = task
    if (task.kind === 'chunk') {
      if (await fetchChunk(this.#needs, this.#queue, holder, task)) this.#claims.release(blob.address)
      return
    }
    const other = this.#claims.claim(blob.address)
    if (other === undefined) {
      if (await openBlob(this.#needs, this.#queue, holder, blob)) this.#claims.release(blob.address)
      return
    }
    blob.state = 'elsewhere'
    void other.then(async () => {
      if (await this.#needs.store.has(blob.address)) this.#queue.finish(blob)
      else blob.state = 'fresh'
      this.#progressed()
    }, this.#fail)
  }

  async #suffer(state: HolderState, task: Task, error: unknown): Promise<void> {
    const wait = blame(this.#needs, state, task, error)
    if (wait === undefined) {
      this.#fail(error)
      return
    }
    if (state.dead !== undefined) state.holder.close()
    this.#staff()
    if (wait > 0) await this.#needs.clock.sleep(wait, this.#over.signal).catch(() => undefined)
  }

  #progressed(): void {
    if (this.#over.signal.aborted) return
    this.#watch()
    this.#options.onProgress?.(this.#queue.done(), this.#queue.total)
    if (this.#queue.finished()) this.#result.resolve()
    this.#changed()
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers<void>()
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
    const reasons = Object.fromEntries(this.#holders.map(({ holder, dead }) => [holder.peer, dead ?? why]))
    const { total } = this.#queue
    this.#fail(new FetchFailedError(`${total} bytes of tensors`, this.#queue.done(), total, reasons))
  }
}

/** Milliseconds until this worker goes on; undefined: not the holder's fault, the fetch cannot go on. */
function blame(needs: FetchJobNeeds, state: HolderState, task: Task, error: unknown): number | undefined {
  if (error instanceof HolderError && state.dead !== undefined) return 0
  if (error instanceof ChunkMismatchError || error instanceof AddressMismatchError) {
    needs.count('chunks_refused')
    needs.lied(state.holder.peer)
    state.dead = 'it sent bytes that are not those of the address'
    return 0
  }
  if (!(error instanceof HolderError)) return undefined
  if (error.reason === 'missing') {
    state.lacks.add(task.blob.address)
    return 0
  }
  if (error.reason === 'busy') return RETRY_MS
  state.failures += 1
  const isOver = state.failures > HOLDER_RETRIES * CHUNKS_IN_FLIGHT
  if (error.reason === 'lied') needs.lied(state.holder.peer)
  if (isOver || error.reason === 'lied' || error.reason === 'stalled') state.dead = error.why ?? error.message
  return RETRY_MS * 2 ** Math.floor(state.failures / CHUNKS_IN_FLIGHT)
}
