/**
 * Blocks packed by several threads at once: the engine packs a block for its kernels in one call that nothing else runs
 * beside, so threads are what keeps a second core busy.
 */
import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { ErrorData } from '../../errors.ts'
import type { ModelManifest } from '../manifest.ts'
import { headSlices } from './pack-block.ts'

export interface PackerInit {
  readonly manifest: ModelManifest
  readonly storeDirectory: string
  /** The cache. */
  readonly directory: string
}

export type PackerEvent =
  /** Ready for a block. */
  | { readonly type: 'done' }
  /** A block was not in the cache. */
  | { readonly type: 'packed'; readonly block: number }
  | { readonly type: 'plain'; readonly name: string; readonly error?: ErrorData }
  | { readonly type: 'failed'; readonly error: ErrorData }

/** A block passes through a thread's hands in pieces and in buffers, which V8 does not count as its own. */
const HEAP_MB = 256

/** Weights that are packed at the same time: the engine holds about as much again, whichever thread it is. */
const MOST_BYTES = 1 << 27

/**
 * Packs blocks, the largest first. One that cannot be is left: whoever needs it packs it himself, and hears why.
 * @param threads that work at once, as far as the blocks are not too large for that
 */
export async function packInThreads(
  init: PackerInit,
  blocks: readonly number[],
  threads: number,
  listen: (event: PackerEvent) => void,
): Promise<void> {
  const all = init.manifest.blocks
  const queue = new Queue(
    blocks.toSorted((one, other) => all[other]!.memory - all[one]!.memory),
    // Of a head, a slice at a time.
    (index) => all[index]!.memory / (all[index]!.kind === 'head' ? headSlices(all[index]!) : 1),
  )
  await Promise.all(Array.from({ length: Math.min(threads, blocks.length) }, () => runThread(init, queue, listen)))
}

/** Hands out blocks while what is being packed stays small; one that is large by itself goes alone. */
class Queue {
  readonly #waiting: number[]
  readonly #size: (block: number) => number
  readonly #idle: ((block: number | undefined) => void)[] = []
  #bytes = 0

  constructor(blocks: readonly number[], size: (block: number) => number) {
    this.#waiting = [...blocks]
    this.#size = size
  }

  /** @returns undefined when none is left */
  next(): Promise<number | undefined> {
    const { promise, resolve } = Promise.withResolvers<number | undefined>()
    this.#idle.push(resolve)
    this.#match()
    return promise
  }

  done(block: number): void {
    this.#bytes -= this.#size(block)
    this.#match()
  }

  #match(): void {
    while (this.#idle.length > 0) {
      const block = this.#waiting[0]
      if (block !== undefined && this.#bytes > 0 && this.#bytes + this.#size(block) > MOST_BYTES) return
      this.#waiting.shift()
      this.#bytes += block === undefined ? 0 : this.#size(block)
      this.#idle.shift()!(block)
    }
  }
}

async function runThread(init: PackerInit, queue: Queue, listen: (event: PackerEvent) => void): Promise<void> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const thread = new Worker(fileURLToPath(new URL(`./pack-worker.${extension}`, import.meta.url)), {
    workerData: init,
    env: threadEnvironment(),
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  })
  let current: number | undefined
  const free = (): void => {
    if (current !== undefined) queue.done(current)
    current = undefined
  }
  const ended = Promise.withResolvers<void>()
  thread.once('exit', () => ended.resolve())
  thread.once('error', () => ended.resolve())
  const goOn = async (ready: boolean): Promise<void> => {
    free()
    current = ready ? await queue.next() : undefined
    if (current === undefined) await thread.terminate()
    else thread.postMessage(current, [])
  }
  thread.on('message', (event: PackerEvent) => {
    listen(event)
    if (event.type === 'done' || event.type === 'failed') void goOn(event.type === 'done')
  })
  await ended.promise
  free()
}

/**
 * A thread takes what Node has compiled from a folder that it is told of in its environment alone, not from the one that the
 * program has named: without it each compiles the packer and the engine's binding for itself.
 */
function threadEnvironment(): NodeJS.ProcessEnv {
  const own = getCompileCacheDir()
  return own === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(own) }
}
