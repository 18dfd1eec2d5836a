/**
 * One graph loaded several times, with threads that sleep between nodes, with threads that spin, and with fewer threads: small
 * runs take what is fastest. The engine packs all weights anew at each load (prepacked-entries.ts), so what is large is loaded
 * once at first, and what was tried and is not faster is given up again.
 */
import type { Engine, Graph, LoadOptions } from '../../onnx/index.ts'
import type { Clock } from '../../util/index.ts'
import { WayChoice } from './way-choice.ts'

/** Rows beyond which a run is so long that a wake-up does not count. */
const FEW_ROWS = 4

/** Nobody waits for a second load that is shorter. */
const QUICK_MS = 250
/** A longer one comes when runs have taken so many times as long: at most a twentieth of them is spent on it. */
const WORTH = 20

/** With fewer threads from so many on than all of them or one. */
const MANY_THREADS = 4

export interface EagerGraph extends Graph {
  /** Threads of the last run spun. */
  readonly spun: boolean
  /** The last run had fewer threads than the stage. */
  readonly narrow: boolean
}

interface Way {
  readonly threads: number
  readonly spin: boolean
}

/** Beside all threads, that sleep. The first stays once it is loaded; of the others what is faster. */
function waysOf(threads: number): Way[] {
  const half = threads >= MANY_THREADS ? [{ threads: Math.ceil(threads / 2), spin: true }] : []
  return [{ threads, spin: true }, ...half, { threads: 1, spin: false }]
}

/** With one thread there is nothing to choose, and without a clock nothing is measured: loaded once. Rows are those of the input `x`. */
export async function loadEager(
  engine: Engine,
  clock: Clock | undefined,
  path: string,
  options: LoadOptions,
): Promise<EagerGraph> {
  if (options.threads === 1 || clock === undefined)
    return { ...(await engine.load(path, options)), spun: false, narrow: false }
  const started = clock.now()
  const still = await engine.load(path, options)
  const graph = new ChosenGraph({ engine, clock, path, options, still, loadMs: clock.now() - started })
  await graph.begin()
  return graph
}

interface ChosenInit {
  readonly engine: Engine
  readonly clock: Clock
  readonly path: string
  readonly options: LoadOptions
  readonly still: Graph
  readonly loadMs: number
}

class ChosenGraph implements EagerGraph {
  spun = false
  narrow = false
  readonly #init: ChosenInit
  readonly #choice = new WayChoice()
  /** By the number of their way; 0 is all threads, that sleep. */
  readonly #loaded = new Map<number, Graph>()
  readonly #ways: readonly Way[]
  #next = 1
  /** Milliseconds of runs since the last load. */
  #served = 0

  constructor(init: ChosenInit) {
    this.#init = init
    this.#ways = waysOf(init.options.threads)
    this.#loaded.set(0, init.still)
  }

  async begin(): Promise<void> {
    if (this.#init.loadMs <= QUICK_MS) await this.#load()
  }

  async run(...[feeds, fetches]: Parameters<Graph['run']>): ReturnType<Graph['run']> {
    const { still, clock } = this.#init
    this.spun = this.narrow = false
    if (feeds['x']!.dims[0]! > FEW_ROWS) return still.run(feeds, fetches)
    await this.#renew()
    const way = this.#choice.way
    const { threads, spin } = this.#way(way)
    const graph = this.#loaded.get(way)!
    this.spun = spin
    this.narrow = threads < this.#init.options.threads
    const from = clock.now()
    const outputs = await graph.run(feeds, fetches)
    const spent = clock.now() - from
    this.#served += spent
    this.#choice.ran(spent)
    return outputs
  }

  readonly runAny: Graph['runAny'] = (feeds, fetches) => this.#init.still.runAny(feeds, fetches)

  async release(): Promise<void> {
    for (const graph of this.#loaded.values()) await graph.release()
    this.#loaded.clear()
  }

  #way(number: number): Way {
    return this.#ways[number - 1] ?? { threads: this.#init.options.threads, spin: false }
  }

  /** The next way comes when it has been earned; what was tried beyond the first and has lost goes. */
  async #renew(): Promise<void> {
    for (const [way, graph] of this.#loaded) {
      if (way < 2 || !this.#choice.hasLost(way)) continue
      this.#choice.drop(way)
      this.#loaded.delete(way)
      await graph.release()
    }
    if (this.#next <= this.#ways.length && this.#served >= WORTH * this.#init.loadMs) await this.#load()
  }

  /** Without it, runs are what they were; there may be no memory for it. */
  async #load(): Promise<void> {
    const { engine, path, options } = this.#init
    const way = this.#next++
    this.#served = 0
    const graph = await engine.load(path, { ...options, ...this.#way(way) }).catch(() => undefined)
    if (graph === undefined) return
    this.#loaded.set(way, graph)
    this.#choice.add(way)
  }
}
