/** One fetch: workers ask the holders for what is left, until all is here or nobody can give the rest. */
import { AddressMismatchError, ChunkMismatchError } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import type { Claims } from './claims.ts'
import { FetchFailedError, HolderError } from './errors.ts'
import { createFetchQueue } from './fetch-queue.ts'
import type { FetchQueue, Task } from './fetch-queue.ts'
import { fetchChunk, openBlob } from './fetch-task.ts'
import type { Holder } from './holder.ts'
import { CHUNKS_IN_FLIGHT, FETCH_STALL_MS, HOLDER_RETRIES } from './limits.ts'
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

export async function runFetch(
  needs: FetchJobNeeds,
  blobs: readonly BlobRequest[],
  peers: readonly string[],
  options: FetchOptions,
): Promise<void> {
  const present = new Set<string>()
  for (const { address } of blobs) if (await needs.store.has(address)) present.add(address)
  const queue = createFetchQueue(blobs, present)
  options.onProgress?.(queue.done(), queue.total)
  if (queue.finished()) return
  options.signal?.throwIfAborted()
  const job = createJob(needs, queue, peers, options)
  try {
    await job.run()
  } finally {
    job.end()
  }
}

interface Job {
  run(): Promise<void>
  end(): void
}

function createJob(needs: FetchJobNeeds, queue: FetchQueue, peers: readonly string[], options: FetchOptions): Job {
  const holders: HolderState[] = [...new Set(peers)].map((peer) => {
    return { holder: needs.openHolder(peer), lacks: new Set<string>(), failures: 0, dead: undefined }
  })
  const mine = needs.claims.begin()
  const over = new AbortController()
  const result = Promise.withResolvers<void>()
  /** Renewed whenever there may be work again. */
  let change = Promise.withResolvers<void>()
  let stopWatch: (() => void) | undefined

  const changed = (): void => {
    change.resolve()
    change = Promise.withResolvers<void>()
  }
  const fail = (error: unknown): void => result.reject(error)
  const giveUp = (why?: string): void => {
    const reasons = holders.map(({ holder, dead }) => [holder.peer, dead ?? why ?? 'it lacks the rest'] as const)
    fail(
      new FetchFailedError(`${queue.total} bytes of tensors`, queue.done(), queue.total, Object.fromEntries(reasons)),
    )
  }
  const watch = (): void => {
    const stall = options.stall ?? FETCH_STALL_MS
    stopWatch?.()
    stopWatch = needs.clock.after(stall, () => {
      if (queue.waitsForOthers()) watch()
      else giveUp(`nothing came for ${stall} ms`)
    })
  }
  const progressed = (): void => {
    watch()
    options.onProgress?.(queue.done(), queue.total)
    if (queue.finished()) result.resolve()
    changed()
  }
  /** Nobody is left who could bring what is missing. */
  const checkHope = (): void => {
    const hope = holders.some(({ dead, lacks }) => dead === undefined && queue.hasWorkFor(lacks))
    if (!hope && !queue.finished()) giveUp()
  }

  const perform = async (holder: Holder, task: Task): Promise<void> => {
    const { blob } = task
    if (task.kind === 'chunk') {
      if (await fetchChunk(needs, queue, holder, task)) mine.release(blob.address)
      return
    }
    const other = mine.claim(blob.address)
    if (other === undefined) {
      const whole = await openBlob(needs, queue, holder, blob)
      if (whole) mine.release(blob.address)
      return
    }
    blob.state = 'elsewhere'
    void other.then(async () => {
      if (await needs.store.has(blob.address)) queue.finish(blob)
      else blob.state = 'fresh'
      progressed()
    }, fail)
  }

  const run = async (state: HolderState): Promise<void> => {
    while (!over.signal.aborted && state.dead === undefined) {
      const task = queue.take(state.lacks)
      if (task === undefined) {
        await change.promise
        continue
      }
      try {
        await perform(state.holder, task)
        state.failures = 0
        progressed()
      } catch (error) {
        queue.giveBack(task)
        changed()
        if (over.signal.aborted) return
        const wait = blame(needs, state, task, error)
        if (wait === undefined) return fail(error)
        if (state.dead !== undefined) state.holder.close()
        checkHope()
        if (wait > 0) await needs.clock.sleep(wait, over.signal).catch(() => undefined)
      }
    }
  }

  const onAbort = (): void => fail(options.signal?.reason)
  return {
    run() {
      options.signal?.addEventListener('abort', onAbort, { once: true })
      watch()
      checkHope()
      for (const state of holders) {
        for (let worker = 0; worker < CHUNKS_IN_FLIGHT; worker++) void run(state)
      }
      return result.promise
    },
    end() {
      options.signal?.removeEventListener('abort', onAbort)
      stopWatch?.()
      over.abort(new Error('the fetch has ended'))
      mine.end()
      changed()
      for (const { holder } of holders) holder.close()
    },
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
