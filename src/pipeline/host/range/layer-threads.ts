/** Threads that measure layers in turn, as the program sees them; or the program itself, where a thread's start costs more. */
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Inbox } from '../../../util/index.ts'
import { createLayerRunner } from './layer-runner.ts'
import type { LayerInit, LayerThreadInit } from './protocol.ts'

/** A layer passes through a thread in buffers, which V8 does not count. */
const HEAP_MB = 256

export interface Layers {
  /** Rows that come out of a block, the one behind the last that was asked for. @throws what loading or running it does */
  through(block: number, rows: Float32Array): Promise<Float32Array>
  /** What `through` waits for does not come any more. */
  fail(error: Error): void
  /** When it resolves, nothing is computing. */
  end(): Promise<void>
}

export async function layersHere(init: LayerInit): Promise<Layers> {
  const load = await createLayerRunner(init)
  return {
    through: async (block, rows) => (await load(block))(rows),
    fail: () => undefined,
    end: () => Promise.resolve(),
  }
}

/** @param count of threads; the blocks, whose numbers begin with 1, are theirs in turn */
export function layersInThreads(init: LayerInit, blocks: readonly number[], count: number): Layers {
  const threads = Array.from(
    { length: count },
    (_, own) => new LayerThread({ ...init, blocks: blocks.filter((block) => block % count === own) }),
  )
  return {
    through: (block, rows) => threads[block % count]!.through(rows),
    fail: (error) => threads.forEach((thread) => thread.fail(error)),
    end: async () => void (await Promise.all(threads.map((thread) => thread.end()))),
  }
}

class LayerThread {
  readonly #worker: Worker
  readonly #answers = new Inbox<Float32Array>()
  readonly #ended: Promise<void>

  constructor(init: LayerThreadInit) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(fileURLToPath(new URL(`./layer-thread.${extension}`, import.meta.url)), {
      workerData: init,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    })
    this.#worker.on('message', (rows: Float32Array) => this.#answers.push(rows))
    this.#worker.on('error', (error: Error) => this.#answers.fail(error))
    this.#ended = new Promise((resolve) => this.#worker.once('exit', () => resolve()))
  }

  through(rows: Float32Array): Promise<Float32Array> {
    this.#worker.postMessage(rows, [])
    return this.#answers.take()
  }

  fail(error: Error): void {
    this.#answers.fail(error)
  }

  /** Asked, since the whole process ends badly where a thread is ended that computes. */
  end(): Promise<void> {
    this.#worker.postMessage(null, [])
    return this.#ended
  }
}
