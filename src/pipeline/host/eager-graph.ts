/**
 * One graph loaded twice, with threads that sleep between nodes and with threads that spin: small runs take the faster.
 * The engine packs all weights anew at each load (prepacked-entries.ts), so what is large is loaded once at first.
 */
import type { Engine, Graph, LoadOptions } from '../../onnx/index.ts'
import type { Clock } from '../../util/index.ts'
import { SpinChoice } from './spin-choice.ts'

/** Rows beyond which a run is so long that a wake-up does not count. */
const FEW_ROWS = 4

/** Nobody waits for a second load that is shorter. */
const QUICK_MS = 250
/** A longer one comes when runs have taken so many times as long: at most a twentieth of them is spent on it. */
const WORTH = 20

export interface EagerGraph extends Graph {
  /** Threads of the last run spun. */
  readonly spun: boolean
}

/** With one thread there is nothing to wake, and without a clock nothing is measured: loaded once. Rows are those of the input `x`. */
export async function loadEager(
  engine: Engine,
  clock: Clock | undefined,
  path: string,
  options: LoadOptions,
): Promise<EagerGraph> {
  if (options.threads === 1 || clock === undefined) return { ...(await engine.load(path, options)), spun: false }
  const started = clock.now()
  const still = await engine.load(path, options)
  const loadMs = clock.now() - started
  const loadSpinning = (): Promise<Graph> => engine.load(path, { ...options, spin: true })
  let spinning = loadMs <= QUICK_MS ? await loadSpinning() : undefined
  // Without it, runs are what they were; there may be no memory for it.
  const again = async (): Promise<Graph | undefined> => {
    served = -Infinity
    return loadSpinning().catch(() => undefined)
  }
  const choice = new SpinChoice()
  let spun = false
  let served = 0
  return {
    get spun() {
      return spun
    },
    async run(feeds, fetches) {
      spun = false
      if (feeds['x']!.dims[0]! > FEW_ROWS) return still.run(feeds, fetches)
      if (spinning === undefined && served >= WORTH * loadMs) spinning = await again()
      spun = spinning !== undefined && choice.way === 'spinning'
      const from = clock.now()
      const outputs = await (spun && spinning !== undefined ? spinning : still).run(feeds, fetches)
      const spent = clock.now() - from
      if (spinning === undefined) served += spent
      else choice.ran(spent)
      return outputs
    },
    runAny: (feeds, fetches) => still.runAny(feeds, fetches),
    async release() {
      await still.release()
      await spinning?.release()
    },
  }
}
